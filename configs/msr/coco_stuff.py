"""Which of table 3's categories each class of COCO-Stuff speaks for. The paper names the categories and no grouping:
this one is ours.

A picture's category is the one with most pixels in its label map; `first` comes before the others where it covers
`first_share` of the picture. Persons, sports, and what is worn or carried say nothing of the place. Numbers are
COCO-Stuff's ids (labels.txt of nightrome/cocostuff); its PNG maps (stuffthingmaps) hold the id less 1.
"""

first = "animals"
first_share = 0.1
# fmt: off
groups = dict(
    animals={
        "bird": 16, "cat": 17, "dog": 18, "horse": 19, "sheep": 20, "cow": 21, "elephant": 22, "bear": 23,
        "zebra": 24, "giraffe": 25,
    },
    nature={
        "branch": 94, "bush": 97, "clouds": 106, "dirt": 111, "flower": 119, "fog": 120, "grass": 124,
        "gravel": 125, "ground-other": 126, "hill": 127, "leaves": 129, "moss": 134, "mountain": 135, "mud": 136,
        "plant-other": 142, "river": 148, "rock": 150, "sand": 154, "sea": 155, "sky-other": 157, "snow": 159,
        "stone": 162, "straw": 163, "tree": 169, "water-other": 178, "waterdrops": 179, "wood": 182,
    },
    indoor={
        "bottle": 44, "wine glass": 46, "cup": 47, "fork": 48, "knife": 49, "spoon": 50, "bowl": 51, "banana": 52,
        "apple": 53, "sandwich": 54, "orange": 55, "broccoli": 56, "carrot": 57, "hot dog": 58, "pizza": 59,
        "donut": 60, "cake": 61, "chair": 62, "couch": 63, "potted plant": 64, "bed": 65, "dining table": 67,
        "toilet": 70, "tv": 72, "laptop": 73, "mouse": 74, "remote": 75, "keyboard": 76, "microwave": 78,
        "oven": 79, "toaster": 80, "sink": 81, "refrigerator": 82, "book": 84, "clock": 85, "vase": 86,
        "scissors": 87, "teddy bear": 88, "hair drier": 89, "toothbrush": 90, "blanket": 93, "cabinet": 98,
        "cardboard": 100, "carpet": 101, "ceiling-other": 102, "ceiling-tile": 103, "counter": 107,
        "cupboard": 108, "curtain": 109, "desk-stuff": 110, "door-stuff": 112, "floor-marble": 114,
        "floor-other": 115, "floor-stone": 116, "floor-tile": 117, "floor-wood": 118, "food-other": 121,
        "fruit": 122, "furniture-other": 123, "light": 130, "mat": 131, "mirror-stuff": 133, "napkin": 137,
        "pillow": 141, "rug": 152, "salad": 153, "shelf": 156, "table": 165, "towel": 168, "vegetable": 170,
        "wall-panel": 174, "wall-tile": 176, "wall-wood": 177, "window-blind": 180,
    },
    urban={
        "bicycle": 2, "car": 3, "motorcycle": 4, "bus": 6, "train": 7, "truck": 8, "traffic light": 10,
        "fire hydrant": 11, "stop sign": 13, "parking meter": 14, "bench": 15, "banner": 92, "bridge": 95,
        "building-other": 96, "fence": 113, "house": 128, "pavement": 140, "platform": 144, "railing": 146,
        "railroad": 147, "road": 149, "roof": 151, "skyscraper": 158, "stairs": 161, "structural-other": 164,
        "tent": 166, "wall-brick": 171, "wall-concrete": 172, "wall-stone": 175,
    },
)
# fmt: on
