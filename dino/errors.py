"""The errors a user can cause, each one sentence: what was got, what was expected, what to do.

Everything raised on purpose for bad input derives from `UserError`; the command line prints its
message and sets the exit code, the app shows it in place. Any other exception is a bug.
"""


class UserError(ValueError):
    """Input that cannot be used; the message is one sentence a user can act on."""


class ImageError(UserError):
    """Bytes that are not a picture we read, or a picture of a refused size."""


class VideoError(UserError):
    """A file that is not a video we read, or a video of a refused size or length."""


class WeightsError(UserError):
    """Weights that cannot be loaded: unknown source or layout, missing or extra keys, unsafe file."""


class DownloadError(WeightsError):
    """A download that did not finish; whatever was received is kept for a resume where it is sound."""


class TooLargeError(UserError):
    """A request that would not fit into memory; names the estimate and the largest size that fits."""
