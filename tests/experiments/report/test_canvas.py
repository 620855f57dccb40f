"""Plots as files."""

from torchmomentum.experiments.report.canvas import marker, new_axes, save


def test_a_figure_is_the_same_file_again(tmp_path):
    for name in ("first", "second"):
        figure, axes = new_axes(3, 2)
        axes.plot([1, 2, 4])
        axes.grid()
        (tmp_path / name).mkdir()
        save(figure, tmp_path / name / "curves")
    for ending in ("png", "svg"):
        first, second = (
            (tmp_path / name / f"curves.{ending}").read_bytes() for name in ("first", "second")
        )
        assert first == second


def test_a_curve_of_one_point_has_a_marker():
    assert (marker(1), marker(2), marker(0)) == ("o", None, None)
