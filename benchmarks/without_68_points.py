"""Import this before `face_recognition`: the package then loads the 5-point predictor in place of the 68-point one.

The 68-point file may be missing (`requirements/remove_unused.py`), and its training set excludes commercial use. The
package uses it only for `model="large"`. The detector that only `model="cnn"` uses may be missing too.
"""

from typing import Any

import dlib
import face_recognition_models


def _no_detector(_path: str) -> Any:  # noqa: ANN401 - as dlib's own
    return None


face_recognition_models.pose_predictor_model_location = face_recognition_models.pose_predictor_five_point_model_location
dlib.cnn_face_detection_model_v1 = _no_detector
