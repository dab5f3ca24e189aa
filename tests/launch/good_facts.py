"""What the data lint finds in a folder with nothing wrong in it."""

from launch.data_lint import Facts

GOOD = Facts(
    **{"rows": 100, "images": 100, "columns": {"image", "text"}, "looked_at": 100, "captions": 100, "transparent": []},
    **{"blank": [], "duplicates": [], "not_square": [], "held_out": [], "unreadable": [], "missing": []},
    **{"without_row": [], "smallest": (64, 64), "largest": (64, 64), "too_long": [], "maybe_too_long": 0},
    **{"bad_captions": [], "limit": 77},
)
