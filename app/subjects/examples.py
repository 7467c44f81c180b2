"""Examples of accounts in the OpenAPI document."""

from app.transparency.examples import RECEIPT
from app.web.openapi import Example

SUBJECT_ID = "e17e4d1e-6b84-464b-864b-0ac5545a0ac4"
RECOVERY_CODE = "mien_rec_JcFnqWq0bQdXr1nO2sVYbqZpHn0kq3vQ0mJ9yTgUe5c"

REGISTRATION: Example = {"declared_adult": True, "display_name": "Ada"}
REGISTERED: Example = {
    "subject_id": SUBJECT_ID,
    "access_token": "mien_sub_mj45bQTeJh3E7-5CMf7niD3pFXUHGSuaJIVBnlaF4yI",
    "recovery_code": RECOVERY_CODE,
}
RECOVERY: Example = {"recovery_code": RECOVERY_CODE}
ACCOUNT: Example = {"subject_id": SUBJECT_ID, "display_name": "Ada", "registered_on": "2026-11-23", "restricted": False}
RECTIFICATION: Example = {"display_name": "Ada L."}
RECTIFIED: Example = {**ACCOUNT, "display_name": "Ada L.", "receipt": RECEIPT}
RESTRICTION: Example = {"restricted": True, "receipt": RECEIPT}
TOKEN: Example = {
    "token_id": "00026684-e1b4-4d70-b560-7e89bc9fddb8",
    "created_on": "2026-11-23",
    "last_used_on": "2026-12-01",
    "current": True,
}
NEW_TOKEN: Example = {
    "token_id": "ede1b7ad-19b0-4abc-ab44-0526707a298f",
    "access_token": "mien_sub_Qk0h2b7w3ZrXc8sYl5NfTjVgPaEoUiMd9R1x6KtBy4A",
}
