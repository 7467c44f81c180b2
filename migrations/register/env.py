"""Run Alembic on the register, in the transaction that the caller opened."""

from alembic import context

from app.vault.tables import RegisterRow

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=RegisterRow.metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
