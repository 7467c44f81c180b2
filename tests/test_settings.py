"""A variable `MIEN_…` that is no setting stops the start, with the setting of the most similar name."""

from pathlib import Path

import pytest

from app.cli.unknown_settings import unknown_settings
from app.settings import Settings
from tests.support.launcher import refused, run_here


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("MIEN_DATADIR", "MIEN_DATA_DIR"),
        ("MIEN_PROOF_RETENTON", "MIEN_PROOF_RETENTION"),
        ("MIEN_CONTROLER_NAME", "MIEN_CONTROLLER_NAME"),
        ("mien_profil", "MIEN_PROFILE"),
        ("MIEN_KEK_FLIE", "MIEN_KEK_FILE"),
        ("MIEN__ENGINE", "MIEN_ENGINE"),
    ],
)
def test_the_nearest_setting_is_named(variable: str, nearest: str) -> None:
    assert unknown_settings({variable: "1"}) == [f"{variable} is not a setting. Did you mean {nearest}?"]


def test_a_variable_like_no_setting_is_refused_too() -> None:
    assert unknown_settings({"MIEN_ZZZ": ""}) == ["MIEN_ZZZ is not a setting. docs/reference/settings.md lists all."]
    assert unknown_settings({"MIEN_PORT": "80"}) == ["MIEN_PORT is not a setting. Use `mien serve --port`."]
    assert unknown_settings({"MIEN_HOST": "x"}) == ["MIEN_HOST is not a setting. Use `mien serve --host`."]


def test_settings_and_the_variables_of_other_programs_are_accepted() -> None:
    settings = {f"MIEN_{name.upper()}": "" for name in Settings.model_fields}
    kubernetes = {
        "MIEN_SERVICE_HOST": "10.0.0.1",
        "MIEN_SERVICE_PORT": "8000",
        "MIEN_SERVICE_PORT_HTTP": "8000",
        "MIEN_PORT": "tcp://10.0.0.1:8000",
        "MIEN_PORT_8000_TCP": "tcp://10.0.0.1:8000",
        "MIEN_PORT_8000_TCP_PROTO": "tcp",
        "MIEN_PORT_8000_TCP_PORT": "8000",
        "MIEN_PORT_8000_TCP_ADDR": "10.0.0.1",
        "MIEN_DOOR_SERVICE_HOST": "10.0.0.2",
        "MIEN_DOOR_PORT": "udp://10.0.0.2:53",
    }

    assert unknown_settings({**settings, **kubernetes, "HOME": "/", "OTHER_MIEN_X": "", "MIENX": ""}) == []


@pytest.mark.service
def test_commands_and_the_service_refuse_an_unknown_setting_before_they_open_a_store(tmp_path: Path) -> None:
    for words in (["serve", "--port", "0"], ["sweep"], ["keys", "list"], ["backup", "x"], ["live-check"]):
        result = run_here(tmp_path, *words, MIEN_RETENTON_DAYS="3", MIEN_ENGINE_WORKERS="x")

        assert refused(result, "MIEN_RETENTON_DAYS is not a setting. Did you mean MIEN_"), result.output
        assert "MIEN_ENGINE_WORKERS: Input should be a valid integer" in result.stderr
    assert not list(tmp_path.iterdir())
