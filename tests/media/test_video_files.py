"""Video files: written ones read back by PyAV, OpenCV and Pillow, and bad ones refused in a sentence."""

import os
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from dino.errors import VideoError
from dino.media.video_reading import VideoLimits, probe, read_frames
from dino.media.video_writing import write_gif, write_mp4

COLORS = ((230, 30, 30), (30, 190, 40), (40, 60, 220), (200, 180, 90))


def quarters(height=48, width=64):
    """Four colours: top left, top right, bottom left, bottom right."""
    rgb = np.zeros((height, width, 3), dtype=np.uint8)
    h, w = height // 2, width // 2
    rgb[:h, :w], rgb[:h, w:], rgb[h:, :w], rgb[h:, w:] = COLORS
    return rgb


def moving(count=12, height=48, width=64):
    """A white bar that moves 4 px a frame over the quarters."""
    for number in range(count):
        rgb = quarters(height, width)
        rgb[:, 4 * number : 4 * number + 4] = 255
        yield rgb


def middles(rgb):
    h, w = rgb.shape[0] // 4, rgb.shape[1] // 4
    return rgb[[h, h, -h, -h], [w, -w, w, -w]]


def sideways(path, degrees):
    """A file whose metadata say that players turn it `degrees` counter-clockwise."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(10), options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_rotation(degrees)
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(quarters(), format="rgb24")))
        container.mux(stream.encode())
    return path


def test_an_mp4_is_what_browsers_play(tmp_path):
    path = tmp_path / "folder" / "bar.mp4"
    assert write_mp4(moving(12), path, fps=24) == 12
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert stream.codec_context.colorspace == 1  # BT.709, said in the file
        assert (stream.width, stream.height, stream.frames) == (64, 48, 12)
        assert float(stream.average_rate) == 24
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(frames) == 12
    for frame, expected in zip(frames, moving(12), strict=True):
        assert abs(frame.astype(int) - expected).mean() < 6
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # plays as it loads
    assert oct(path.stat().st_mode)[-3:] == "644"
    assert os.listdir(path.parent) == ["bar.mp4"]


@pytest.mark.skipif(
    cv2.__version__ < "5", reason="OpenCV before 5 reads the colours of BT.709 otherwise"
)
def test_colours_come_back_through_another_reader(tmp_path):
    write_mp4(iter([quarters()] * 3), tmp_path / "a.mp4", fps=10)
    ours = next(read_frames(tmp_path / "a.mp4"))
    _, bgr = cv2.VideoCapture(str(tmp_path / "a.mp4")).read()
    for frame in (ours, bgr[..., ::-1]):
        assert np.abs(middles(frame).astype(int) - COLORS).max() <= 6


def test_odd_sides_become_even(tmp_path):
    write_mp4([quarters(47, 63)] * 2, tmp_path / "odd.mp4", fps=10)
    (frame, _) = read_frames(tmp_path / "odd.mp4")
    assert frame.shape == (48, 64, 3)
    assert np.abs(middles(frame).astype(int) - COLORS).max() <= 6
    assert np.abs(frame[-1, -8].astype(int) - COLORS[3]).max() <= 8  # repeated, not black


def test_frames_come_out_of_paths_and_bytes_alike(tmp_path):
    path = tmp_path / "a.mp4"
    write_mp4(moving(5), path, fps=12.5)
    for source in (path, str(path), path.read_bytes()):
        frames = list(read_frames(source))
        assert len(frames) == 5
        assert {(f.dtype, f.shape, f.flags.c_contiguous) for f in frames} == {
            (np.dtype(np.uint8), (48, 64, 3), True)
        }
        info = probe(source)
        assert (info.height, info.width, info.num_frames) == (48, 64, 5)
        assert info.fps == pytest.approx(12.5)


@pytest.mark.parametrize("degrees", [90, -90, 180])
def test_a_sideways_recording_comes_upright_as_in_opencv(tmp_path, degrees):
    path = sideways(tmp_path / "phone.mp4", degrees)
    frames = list(read_frames(path))
    expected = np.rot90(quarters(), degrees // 90)
    assert frames[0].shape == expected.shape
    assert np.abs(middles(frames[0]).astype(int) - middles(expected)).max() <= 12
    _, bgr = cv2.VideoCapture(str(path)).read()
    assert np.abs(middles(bgr[..., ::-1]).astype(int) - middles(frames[0])).max() <= 12
    info = probe(path)
    assert (info.height, info.width) == expected.shape[:2]


def test_a_gif_goes_there_and_back(tmp_path):
    path = tmp_path / "a.gif"
    assert write_gif(moving(6), path, fps=10) == 6
    with Image.open(path) as picture:
        assert picture.n_frames == 6
        assert picture.info["duration"] == 100
        assert picture.info["loop"] == 0
    frames = list(read_frames(path))
    assert len(frames) == 6
    assert np.abs(frames[5].astype(int) - list(moving(6))[5]).max() <= 4
    assert probe(path.read_bytes()).fps == 10


def test_transparency_is_laid_on_white(tmp_path):
    clear = Image.new("P", (16, 16), 0)
    clear.putpalette([10, 200, 30] + [0] * 765)
    clear.save(tmp_path / "clear.gif", transparency=0)
    assert (next(read_frames(tmp_path / "clear.gif")) == 255).all()


def test_one_frame_at_a_time(tmp_path):
    """A generator is drawn from as frames are needed, and can be left."""
    write_mp4(moving(10), tmp_path / "a.mp4", fps=10)
    frames = read_frames(tmp_path / "a.mp4")
    next(frames)
    frames.close()


def test_what_is_too_large_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    path = tmp_path / "a.mp4"
    write_mp4(moving(10), path, fps=10)
    monkeypatch.setattr("dino.media.video_reading._decode", lambda *_: pytest.fail("decoded"))
    for limits, says in (
        (VideoLimits(max_frames=9), "about 10 frames, and the limit is 9"),
        (VideoLimits(max_pixels=3000), "frames of 64×48 = 3,072 px, and the limit is 3,000"),
        (VideoLimits(max_bytes=100), "MB, and the limit is 0"),
    ):
        for read in (lambda **k: list(read_frames(path, **k)), lambda **k: probe(path, **k)):
            with pytest.raises(VideoError, match=says):
                read(limits=limits)


def test_a_header_that_says_too_few_frames_does_not_help(tmp_path, monkeypatch):
    path = tmp_path / "a.mp4"
    write_mp4(moving(10), path, fps=10)
    monkeypatch.setattr("dino.media.video_reading._num_frames", lambda *_: 1)
    taken = []
    with pytest.raises(VideoError, match="more than 4 frames"):
        taken.extend(read_frames(path, limits=VideoLimits(max_frames=4)))


def test_a_damaged_or_wrong_file_is_one_sentence(tmp_path):
    path = tmp_path / "a.mp4"
    write_mp4(moving(40, width=160), path, fps=10)
    data = path.read_bytes()
    flat = bytearray(data)
    start = data.index(b"mdat")
    flat[start + 4 :] = bytes(len(data) - start - 4)
    sound = tmp_path / "sound.mp4"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.sample_rate = 8000
        container.mux(stream.encode(silence))
        container.mux(stream.encode())
    playlist = b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n"
    for bad, says in (
        (b"", "cannot be read as a video"),
        (b"no video at all" * 100, "cannot be read as a video"),
        (playlist, "cannot be read as a video"),
        (data[:200], "only the start of one|cannot be read"),
        (data[: (start + len(data)) // 2], "cut short"),
        (bytes(flat), "damaged|no frame|cannot be read"),
        (sound.read_bytes(), "holds sound only"),
        (tmp_path / "none.mp4", "cannot be read .No such file"),
        (tmp_path, "cannot be read"),
    ):
        with pytest.raises(VideoError, match=says) as caught:
            list(read_frames(bad))
        assert "\n" not in str(caught.value)


def test_nothing_is_left_of_a_video_that_failed(tmp_path):
    def breaks():
        yield quarters()
        raise RuntimeError("no more")

    path = tmp_path / "a.mp4"
    path.write_bytes(b"the old one")
    with pytest.raises(RuntimeError):
        write_mp4(breaks(), path, fps=10)
    assert path.read_bytes() == b"the old one"
    for frames, says in (
        ([], "no frame to write"),
        ([quarters(), quarters(40)], "frame 1 is uint8 of shape"),
        ([quarters().astype(float)], "frame 0 is float64"),
    ):
        for write in (write_mp4, write_gif):
            with pytest.raises(VideoError, match=says):
                write(iter(frames), path, fps=10)
    with pytest.raises(VideoError, match=r"expected 0\.1 to 240"):
        write_mp4([quarters()], path, fps=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(VideoError, match="cannot be written"):
        write_gif([quarters()], tmp_path / "file" / "a.gif", fps=10)
    assert sorted(os.listdir(tmp_path)) == ["a.mp4", "file"]
