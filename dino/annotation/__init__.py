"""Photos, the masks proposed for them, and what somebody made of those: sessions and their exports.

    python -m dino annotate new photos/ --name birds --classes bird,nest
    python -m dino annotate export birds --format coco --polygons 1 --out coco/

The app's Annotate page works on the same sessions. `session` is what a session and its
files are, `creation` how one begins, `editing` how masks come to a screen and back, `overview` how far one
is, `exports` what others read of it.
"""
