"""Work that is divided among the workers of Apache Beam (extra `beam`), which the flags of a pipeline choose."""

from keras_audio_si.checks import nearest


def run_pipeline(elements, transform, pipeline_options):
    """Applies a transform of Apache Beam to elements, on the workers of a runner, and waits for the end.

    Args:
        elements: List of values that can be pickled.
        transform: Function of the module `apache_beam` that returns a `PTransform`.
        pipeline_options: List of flags of Apache Beam, such as `["--runner=FlinkRunner", "--flink_master=host:8081"]`.
            Without `--runner` it is the DirectRunner.

    Raises:
        ImportError: If Apache Beam is not installed.
        ValueError: If a flag is none of Apache Beam, and the runner is that of this machine. Others have flags of their
            own, which the job server knows: of unknown ones there Apache Beam only warns.
        OSError: If the runner fails, or a worker does.
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
    except ImportError as error:
        raise ImportError("Apache Beam is not installed: pip install 'keras-audio-si[beam]'.") from error
    options = PipelineOptions(pipeline_options)
    runner = options.view_as(StandardOptions)
    if runner.runner in (None, "DirectRunner"):
        _check_known(options, pipeline_options)
        # What DirectRunner comes to in Python. By that name it looks for a program on the network first (Prism), which
        # does not heed the flags `--direct_...`.
        runner.runner = "FnApiRunner"
    try:
        with beam.Pipeline(options=options) as pipeline:
            pipeline | beam.Create(elements) | beam.Reshuffle() | transform(beam)
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1]  # A worker's comes behind its traceback.
        raise OSError(f"The pipeline of Apache Beam failed: {reason}") from error


def _check_known(options, flags):
    unknown, known = [], []

    def note(parser):
        unknown.extend(parser.parse_known_args(flags)[1])
        known.extend(parser._option_string_actions)

    options.get_all_options(add_extra_args_fn=note, retain_unknown_options=True)  # Gives the parser with all flags.
    if unknown:
        flag = unknown[0].partition("=")[0]
        raise ValueError(f"Apache Beam has no flag {flag}{nearest(flag, known) or ': remove it'}")


def check_folder(folder):
    """Checks that a folder to write to, of workers or of this process, is a path.

    Raises:
        ValueError: If it is an address.

    Example:

    >>> check_folder("gs://a")
    Traceback (most recent call last):
    ValueError: 'gs://a' must be a folder on a file system (that all workers share): mount object stores.
    """
    if "://" in str(folder):
        raise ValueError(
            f"{str(folder)!r} must be a folder on a file system (that all workers share): mount object stores."
        )


def check_written(paths):
    """Checks that what workers have written is here.

    Raises:
        FileNotFoundError: If one of the paths is not there.
    """
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(
                f"A worker of Apache Beam has finished {str(path)!r}, which is not here: the folder must be on a file "
                "system that the workers share with this process, under the same path."
            )
