"""Words for things by other names than a taxonomy's, and words for what no class of it means.

No word holds the name of a class. The list is not chosen by what a model knows. It is split in two by class, as the
recordings are by group: thresholds are chosen on one half and scored on the other.
"""

from __future__ import annotations

from collections.abc import Mapping

PARAPHRASES: Mapping[str, tuple[str, ...]] = {
    "person": ("lady", "gentleman", "toddler"),
    "bicycle": ("bike", "pushbike"),
    "car": ("automobile", "sedan", "hatchback"),
    "motorcycle": ("motorbike", "moped"),
    "airplane": ("aeroplane", "jet", "aircraft"),
    "bus": ("coach", "minibus"),
    "train": ("locomotive", "railcar"),
    "truck": ("lorry", "pickup"),
    "boat": ("dinghy", "yacht", "canoe"),
    "traffic light": ("stoplight", "traffic signal"),
    "fire hydrant": ("fireplug", "hydrant"),
    "bench": ("park seat", "pew"),
    "bird": ("sparrow", "pigeon", "seagull"),
    "cat": ("kitten", "tomcat"),
    "dog": ("hound", "poodle", "terrier"),
    "horse": ("pony", "stallion", "mare"),
    "sheep": ("lamb", "ewe"),
    "cow": ("heifer", "calf"),
    "elephant": ("pachyderm",),
    "bear": ("grizzly",),
    "backpack": ("rucksack", "knapsack"),
    "umbrella": ("parasol", "brolly"),
    "handbag": ("purse", "clutch bag"),
    "tie": ("necktie", "cravat"),
    "suitcase": ("travel case", "trolley case"),
    "frisbee": ("flying disc",),
    "skateboard": ("longboard",),
    "surfboard": ("bodyboard",),
    "tennis racket": ("racquet",),
    "bottle": ("flask", "carafe"),
    "wine glass": ("goblet", "champagne flute"),
    "cup": ("mug", "teacup"),
    "knife": ("dagger", "blade"),
    "spoon": ("ladle", "teaspoon"),
    "bowl": ("soup dish", "basin"),
    "banana": ("plantain",),
    "sandwich": ("panini", "burger"),
    "orange": ("mandarin", "clementine"),
    "hot dog": ("frankfurter",),
    "pizza": ("margherita",),
    "donut": ("doughnut", "cruller"),
    "cake": ("gateau", "cupcake"),
    "chair": ("armchair", "stool"),
    "couch": ("sofa", "settee"),
    "potted plant": ("houseplant", "flowerpot"),
    "bed": ("bunk", "cot"),
    "dining table": ("dinner table", "kitchen table"),
    "toilet": ("lavatory", "latrine"),
    "tv": ("television", "flat screen"),
    "laptop": ("notebook computer", "macbook"),
    "keyboard": ("computer keys",),
    "cell phone": ("mobile phone", "smartphone"),
    "microwave": ("nuker",),
    "oven": ("stove", "cooker"),
    "sink": ("washbasin",),
    "refrigerator": ("fridge", "icebox"),
    "book": ("paperback", "novel"),
    "clock": ("timepiece", "sundial"),
    "vase": ("flower jar", "urn"),
    "scissors": ("shears",),
    "teddy bear": ("plush toy", "cuddly toy"),
    "hair drier": ("blow dryer",),
    "toothbrush": ("dental brush",),
}
"""Class → names that no synonym of the taxonomy lists: synonyms and kinds, as captions use them."""

OTHERS: Mapping[str, tuple[str, ...]] = {
    "animals": ("fox", "rabbit", "fish", "butterfly", "spider", "camel", "snake", "squirrel"),
    "animal things": ("leash", "saddle", "collar", "nest", "bone", "kennel", "aquarium", "birdcage"),
    "road": ("road", "sidewalk", "garage", "lane", "crosswalk", "bridge", "tunnel", "roundabout"),
    "vehicle parts": (
        "wheel",
        "windscreen",
        "headlight",
        "steering wheel",
        "licence plate",
        "helmet",
        "tyre",
        "engine",
    ),
    "nature": ("tree", "lawn", "river", "mountain", "cloud", "beach", "rock", "flower"),
    "buildings": ("house", "fence", "wall", "window", "door", "roof", "church", "lamp post"),
    "rooms": ("carpet", "curtain", "pillow", "shelf", "mirror", "lamp", "drawer", "staircase"),
    "dishes": ("plate", "napkin", "tray", "tablecloth", "jug of milk", "candle", "pan", "chopsticks"),
    "food": ("lemon", "cheese", "soup", "rice", "egg", "tomato", "salad", "bread"),
    "clothes": ("hat", "scarf", "shoe", "glove", "coat", "belt", "dress", "sunglasses"),
    "devices": ("printer", "camera", "loudspeaker", "lightbulb", "fan", "radio", "cable", "drone"),
    "people things": ("crowd", "shadow", "smile", "hand", "beard", "tattoo", "face", "knee"),
}
"""Theme → things that stand beside such classes and are none of them."""

CLASSES: tuple[str, ...] = (
    *PARAPHRASES,
    "kite", "stop sign", "parking meter", "zebra", "giraffe", "skis", "snowboard", "sports ball", "baseball bat",
    "baseball glove", "fork", "apple", "broccoli", "carrot", "mouse", "remote", "toaster",
)  # fmt: skip
"""The 80 classes of the taxonomy that most pictures are labelled with (Lin et al., ECCV 2014)."""
