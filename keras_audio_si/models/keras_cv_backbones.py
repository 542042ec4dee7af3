"""EfficientNetV2 backbones from keras-cv (the extra `cv`)."""

import keras

_STAGES_B = {
    "stackwise_num_repeats": [1, 2, 2, 3, 5, 8],
    "stackwise_input_filters": [32, 16, 32, 48, 96, 112],
    "stackwise_output_filters": [16, 32, 48, 96, 112, 192],
}
_STAGES_S = {
    "stackwise_num_repeats": [2, 4, 4, 6, 9, 15],
    "stackwise_input_filters": [24, 24, 48, 64, 128, 160],
    "stackwise_output_filters": [24, 48, 64, 128, 160, 256],
}
KERAS_CV_VARIANTS = {  # Stages, factor on the widths, factor on the repeats.
    "V2B0": (_STAGES_B, 1.0, 1.0),
    "V2B1": (_STAGES_B, 1.0, 1.1),
    "V2B2": (_STAGES_B, 1.1, 1.2),
    "V2B3": (_STAGES_B, 1.2, 1.4),
    "V2S": (_STAGES_S, 1.0, 1.0),
}


def keras_cv_backbone(variant, images):
    """Builds an EfficientNetV2 of keras-cv with random weights.

    It is built from its stages: the presets of keras-cv are downloaded, without weights as well.

    Args:
        variant: One of `KERAS_CV_VARIANTS`.
        images: Input of the model, a Keras tensor `(batch, height, width, channels)`.

    Returns:
        A functional `keras.Model`. A file of it is loaded where keras-cv is installed.

    Raises:
        ImportError: If keras-cv is not installed.

    Reference:
        Tan and Le, "EfficientNetV2", 2021, Table 4.
    """
    try:
        import keras_cv
    except ImportError as error:
        raise ImportError(
            f"library='keras_cv' needs keras-cv and TensorFlow: pip install 'keras-audio-si[cv]' ({error})"
        ) from error
    stages, width, depth = KERAS_CV_VARIANTS[variant]
    network = keras_cv.models.EfficientNetV2Backbone(
        **stages,
        width_coefficient=width,
        depth_coefficient=depth,
        stackwise_kernel_sizes=[3] * 6,
        stackwise_expansion_ratios=[1, 4, 4, 4, 6, 6],
        stackwise_squeeze_and_excite_ratios=[0, 0, 0, 0.25, 0.25, 0.25],
        stackwise_strides=[1, 2, 2, 2, 1, 2],
        stackwise_conv_types=["fused"] * 3 + ["unfused"] * 3,
        include_rescaling=False,
        input_tensor=images,
    )
    return keras.Model(images, network.output)
