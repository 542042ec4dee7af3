KERAS_CV_VARIANTS=()
def keras_cv_backbone(*a): pass
