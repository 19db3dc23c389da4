"""Faces for the search: dynamic images, person-independent folds and scores, readers, and synthetic micro-expressions."""

from expunge.search.faces.augmentation import Augmentation, class_weights
from expunge.search.faces.ck_plus import read_ck_plus
from expunge.search.faces.clips import read_frame_files, read_frames, read_video
from expunge.search.faces.crop import FaceCrop, crop_face
from expunge.search.faces.dynamic_image import coefficients, dynamic_image
from expunge.search.faces.face_set import Duplicates, FaceSet
from expunge.search.faces.fer2013 import read_fer2013
from expunge.search.faces.folds import Fold, check_folds, leave_one_person_out, person_folds
from expunge.search.faces.linear import control_scores, linear_scores
from expunge.search.faces.london import London, read_london
from expunge.search.faces.micro import dynamic_images, read_micro
from expunge.search.faces.model_card import INTENDED_USE, IntendedUse
from expunge.search.faces.raf_db import read_raf_db
from expunge.search.faces.scores import Scores, pooled_scores, scores
from expunge.search.faces.synthetic import MicroSettings, SyntheticMicroExpressions

__all__ = [
    "INTENDED_USE",
    "Augmentation",
    "Duplicates",
    "FaceCrop",
    "FaceSet",
    "Fold",
    "IntendedUse",
    "London",
    "MicroSettings",
    "Scores",
    "SyntheticMicroExpressions",
    "check_folds",
    "class_weights",
    "coefficients",
    "control_scores",
    "crop_face",
    "dynamic_image",
    "dynamic_images",
    "leave_one_person_out",
    "linear_scores",
    "person_folds",
    "pooled_scores",
    "read_ck_plus",
    "read_fer2013",
    "read_frame_files",
    "read_frames",
    "read_london",
    "read_micro",
    "read_raf_db",
    "read_video",
    "scores",
]
