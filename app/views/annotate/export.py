"""What was accepted, as downloads that are built when they are asked for, and as a command."""

from functools import partial

import streamlit as st

from app.cache.annotation import Opened
from app.ui import command, layout
from dino.annotation.exports import FORMATS, export_files
from dino.annotation.session import ACCEPTED, Session
from dino.system.files import zip_files
from dino.system.words import counted

# Cut-outs have the photo's size; a ZIP of more is not built in the server's memory.
MAX_CUTOUT_PHOTOS = 200
# Label, format and icon of what is downloaded as a ZIP.
_ZIPS = (
    ("YOLO (ZIP)", "yolo", "format_shapes"),
    ("Label PNGs (ZIP)", "png", "palette"),
    ("Cut-outs (ZIP)", "cutouts", "content_cut"),
)


def show(opened: Opened) -> None:
    """Offer the formats, with the choice of outlines."""
    session, accepted = opened.session, opened.overview.counts()[ACCEPTED]
    with st.expander("Export", icon=":material/download:", expanded=bool(accepted)):
        if not accepted:
            st.caption("What is accepted can be exported here; nothing is yet.")
            return
        tolerance = _outlines()
        coco = partial(_coco, session, tolerance)
        layout.downloads(
            ("COCO (JSON)", f"{session.name}-coco.json", "data_object", coco),
            *(
                (label, f"{session.name}-{kind}.zip", icon, partial(_zip, session, kind, tolerance))
                for label, kind, icon in _ZIPS
                if kind != "cutouts" or accepted <= MAX_CUTOUT_PHOTOS
            ),
        )
        if accepted > MAX_CUTOUT_PHOTOS:
            st.caption(f"Cut-outs of more than {MAX_CUTOUT_PHOTOS} photos: by the command below.")
        st.caption(
            f"{counted(accepted, 'accepted photo')}. Holes are kept as run lengths in COCO, in label PNGs and "
            "cut-outs, and lost in YOLO."
        )
    _command(session, tolerance)


def _outlines() -> float | None:
    """Choose the tolerance of polygons in px; None for COCO's run lengths."""
    kind = st.segmented_control(
        "COCO masks as",
        ["polygons", "run lengths"],
        default="polygons",
        required=True,
        key="annotate_outlines",
        help="Run lengths (RLE) are exact. Polygons have few corners and can be edited elsewhere; "
        "what has holes is written as run lengths all the same.",
    )
    if kind == "run lengths":
        return None
    return st.slider(
        "Outlines may be off by, px",
        0.0,
        5.0,
        1.0,
        0.5,
        key="annotate_tolerance",
        help="0 keeps every corner. Small objects are followed closer.",
    )


def _coco(session: Session, tolerance: float | None) -> bytes:
    return dict(export_files(session, "coco", polygons=tolerance))["annotations.json"]


def _zip(session: Session, kind: str, tolerance: float | None) -> bytes:
    failed: list[str] = []
    polygons = 1.0 if tolerance is None else tolerance
    files = list(export_files(session, kind, polygons=polygons, failed=failed.append))
    if failed:
        files.append(("left-out.txt", "".join(f"{line}\n" for line in failed).encode()))
    return zip_files(files)


def _command(session: Session, tolerance: float | None) -> None:
    with command.expander():
        kind = st.segmented_control(
            "Format",
            FORMATS,
            default=FORMATS[0],
            required=True,
            key="annotate_format",
            label_visibility="collapsed",
        )
        options = command.flags(
            format=kind,
            rle=kind == "coco" and tolerance is None,
            polygons=tolerance if kind in ("coco", "yolo") else None,
        )
        command.code(command.line("annotate export", session.name, options=options))
