"""examples/images.py runs, and shows what it is there to show."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent.parent / "examples" / "images.py"
PICTURES = ["confusion", "feature_maps", "filters", "gradients", "history", "predictions"]


@pytest.mark.skipif(not EXAMPLE.exists(), reason="no examples beside this package")
def test_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    options = ["--output", str(tmp_path), "--count", "300", "--image-size", "16", "--epochs", "4"]
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), *options])
    names = runpy.run_path(str(EXAMPLE), run_name="__main__")
    out = capsys.readouterr().out
    assert "Gradient health of without_remedies: vanishing" in out
    assert names["sick"].verdict == "vanishing"
    assert names["sick"].best is not None
    assert f"cured, with {names['sick'].best.name}: validation accuracy" in out
    assert names["predicted"].shape == (60,) and names["confusion"].sum() == 60
    assert (names["predicted"] == names["validation"].labels).mean() > 0.5
    written = sorted(path.stem for path in tmp_path.glob("*.png"))
    assert written == [f"convnet_{name}" for name in PICTURES]
