"""Films of what a network sees in a video: attention over time, or a first mask that is followed."""

from dino.video.film.attention import AttentionStyle
from dino.video.film.making import FilmResult, make_film
from dino.video.tracking import read_first_mask

__all__ = ["AttentionStyle", "FilmResult", "make_film", "read_first_mask"]
