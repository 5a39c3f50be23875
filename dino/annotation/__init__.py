"""Photos, the masks proposed for them, and what somebody made of those: sessions and their exports.

    python -m dino annotate new photos/ --name birds --classes bird,nest
    python -m dino annotate export birds --format coco --polygons 1 --out coco/

The app's Annotate page works on the same sessions. `session` is what a session is, `states` the file
of a photo, `overview` how far one is, `creation` how one begins; `export_*` read what was accepted.
"""
