"""Video files: frames out of them and into them."""

from dino.video.reading import VideoInfo, VideoLimits, probe, read_frames
from dino.video.writing import write_gif, write_mp4

__all__ = ["VideoInfo", "VideoLimits", "probe", "read_frames", "write_gif", "write_mp4"]
