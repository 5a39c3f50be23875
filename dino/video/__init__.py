"""A mask followed through a video, and films; files of videos are read and written by `dino.media`.

for labels in dino.tracking.track(backbone, dino.video.read_frames("walk.mp4"), first_labels): ...
"""

from typing import TYPE_CHECKING

from dino.system.faces import lazy_names

if TYPE_CHECKING:
    from dino.media.video_reading import VideoInfo, VideoLimits, probe, read_frames
    from dino.media.video_writing import write_gif, write_mp4

_HOME = {
    "VideoInfo": "dino.media.video_reading",
    "VideoLimits": "dino.media.video_reading",
    "probe": "dino.media.video_reading",
    "read_frames": "dino.media.video_reading",
    "write_gif": "dino.media.video_writing",
    "write_mp4": "dino.media.video_writing",
}

__all__ = ["VideoInfo", "VideoLimits", "probe", "read_frames", "write_gif", "write_mp4"]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
