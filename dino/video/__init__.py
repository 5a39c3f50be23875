"""Video files: frames out of them and into them."""

from dino.media.video_reading import VideoInfo, VideoLimits, probe, read_frames
from dino.media.video_writing import write_gif, write_mp4

__all__ = ["VideoInfo", "VideoLimits", "probe", "read_frames", "write_gif", "write_mp4"]
