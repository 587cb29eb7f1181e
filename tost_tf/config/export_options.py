"""The options of `tost-export`."""

import dataclasses

from tost_tf.config.options import option

FORMATS = ("saved_model", "tflite", "keras3")
PRECISIONS = ("float32", "float16", "int8")


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """What is exported, and as what."""

    run_dir: str = option("", "folder of the run")
    formats: str = option("saved_model,tflite,keras3", f"with commas between them: {', '.join(FORMATS)}")
    precisions: str = option("float32,float16,int8", f"of .tflite files, with commas: {', '.join(PRECISIONS)}")
    out: str = option("", "folder of the files (by default export/ of the run)")
    calibration_examples: int = option(200, "training images that the ranges of int8 are measured on", minimum=1)
