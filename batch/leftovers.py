"""Names of what lies in a landing area and is no delivery: hidden, unfinished, or a tool's own."""

# What uploads, downloads and editors write before a file is whole, or leave beside it; checksums and marks of the end.
SUFFIXES = (
    ".tmp",
    ".temp",
    ".part",
    ".partial",
    ".filepart",
    ".crdownload",
    ".download",
    ".inprogress",
    ".uploading",
    ".writing",
    ".swp",
    "~",
    "_$folder$",
    ".metadata",
    ".lock",
    ".lck",
    ".crc",
    ".md5",
    ".sha1",
    ".sha256",
    ".sha512",
    ".asc",
    ".sig",
    ".done",
    ".ok",
    ".ready",
    ".success",
)
NAMES = ("thumbs.db", "desktop.ini", "ehthumbs.db", "$recycle.bin", "system volume information", "lost+found")


def is_leftover(path: str) -> bool:
    """Whether a file, or a folder that it lies in, has such a name; the source's own folder comes first and counts not.

    A name that starts with `.` or `_` is hidden, as Hadoop and Unix have it.
    """
    return any(map(_is_leftover, path.split("/")[1:]))


def _is_leftover(name: str) -> bool:
    # A key may hold `..` as any other text: it hides nothing, and leads nowhere.
    hidden = name.startswith((".", "_")) and name not in (".", "..")
    return hidden or name.lower().endswith(SUFFIXES) or name.lower() in NAMES
