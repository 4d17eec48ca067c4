"""The 14 findings of NIH ChestX-ray14, in NIH's order."""

# Wang et al. 2017, "ChestX-ray8", extended to 14 findings with the release of the images.
FINDINGS: tuple[str, ...] = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)

# How NIH's CSV writes a radiograph on which none of the 14 was found.
NO_FINDING = "No Finding"
