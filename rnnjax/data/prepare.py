"""Downloads and prepares a TFDS data set as array_record: ``python -m rnnjax.data.prepare NAME``.

This is the one place that needs TensorFlow (extra ``prepare``).
"""

import argparse
import importlib.util
import sys


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m rnnjax.data.prepare", description=__doc__)
    parser.add_argument("name", help="TFDS name, such as mnist or imdb_reviews")
    parser.add_argument("--data-dir", help="TFDS data directory (default: TFDS_DATA_DIR, or TFDS's own)")
    options = parser.parse_args(arguments)
    if importlib.util.find_spec("tensorflow") is None:
        print(
            "error: preparing a TFDS data set needs TensorFlow, which is not installed here; "
            "install it by: pip install 'tensorflow-cpu>=2.21' (or this project's extra, prepare)",
            file=sys.stderr,
        )
        return 1
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(options.name, data_dir=options.data_dir, file_format="array_record")
        builder.download_and_prepare()
    except (ValueError, OSError, AssertionError) as error:
        print(f"error: {options.name} could not be prepared: {str(error).splitlines()[0]}", file=sys.stderr)
        return 1
    print(f"{builder.info.full_name} is ready in {builder.data_path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
