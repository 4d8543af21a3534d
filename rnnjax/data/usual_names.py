"""What people call the parts of their data: the folders and tables of splits, and the columns of files' names."""

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What folders and tables of splits are called in lower case, and which split each is."""

FILE_COLUMNS = (
    *("file", "filename", "file_name", "image", "image_name", "image_path", "path", "recording", "name"),
    *("id", "image_id"),
)
"""Columns of a table of labels that are taken for the files' names, the likeliest first."""
