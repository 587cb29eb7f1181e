"""The names users may write, and where what they stand for is found. A new one is one line here."""

from tost_tf.registry import Registry

MODELS = Registry(
    "model",
    {
        "mobilenet": "tost_tf.models.mobilenet:mobilenet",
        "resnet8": "tost_tf.models.cifar_resnet:resnet8",
        "resnet18": "tost_tf.models.resnet:resnet18",
        "resnet20": "tost_tf.models.cifar_resnet:resnet20",
        "resnet32": "tost_tf.models.cifar_resnet:resnet32",
        "resnet34": "tost_tf.models.resnet:resnet34",
        "resnet44": "tost_tf.models.cifar_resnet:resnet44",
        "resnet50": "tost_tf.models.resnet:resnet50",
        "resnet56": "tost_tf.models.cifar_resnet:resnet56",
        "resnet101": "tost_tf.models.resnet:resnet101",
        "resnet104": "tost_tf.models.cifar_resnet:resnet104",
        "resnet110": "tost_tf.models.cifar_resnet:resnet110",
        "resnet152": "tost_tf.models.resnet:resnet152",
        "vgg16": "tost_tf.models.vgg:vgg16",
        "vgg19": "tost_tf.models.vgg:vgg19",
    },
)

# Networks of keras.applications, so that a name is checked without importing it.
APPLICATIONS = tuple(
    [
        "ConvNeXtBase",
        "ConvNeXtLarge",
        "ConvNeXtSmall",
        "ConvNeXtTiny",
        "ConvNeXtXLarge",
        "DenseNet121",
        "DenseNet169",
        "DenseNet201",
        "EfficientNetB0",
        "EfficientNetB1",
        "EfficientNetB2",
        "EfficientNetB3",
        "EfficientNetB4",
        "EfficientNetB5",
        "EfficientNetB6",
        "EfficientNetB7",
        "EfficientNetV2B0",
        "EfficientNetV2B1",
        "EfficientNetV2B2",
        "EfficientNetV2B3",
        "EfficientNetV2L",
        "EfficientNetV2M",
        "EfficientNetV2S",
        "InceptionResNetV2",
        "InceptionV3",
        "MobileNet",
        "MobileNetV2",
        "MobileNetV3Large",
        "MobileNetV3Small",
        "NASNetLarge",
        "NASNetMobile",
        "RegNetX002",
        "RegNetX004",
        "RegNetX006",
        "RegNetX008",
        "RegNetX016",
        "RegNetX032",
        "RegNetX040",
        "RegNetX064",
        "RegNetX080",
        "RegNetX120",
        "RegNetX160",
        "RegNetX320",
        "RegNetY002",
        "RegNetY004",
        "RegNetY006",
        "RegNetY008",
        "RegNetY016",
        "RegNetY032",
        "RegNetY040",
        "RegNetY064",
        "RegNetY080",
        "RegNetY120",
        "RegNetY160",
        "RegNetY320",
        "ResNet101",
        "ResNet101V2",
        "ResNet152",
        "ResNet152V2",
        "ResNet50",
        "ResNet50V2",
        "ResNetRS101",
        "ResNetRS152",
        "ResNetRS200",
        "ResNetRS270",
        "ResNetRS350",
        "ResNetRS420",
        "ResNetRS50",
        "VGG16",
        "VGG19",
        "Xception",
    ]
)
MODEL_SUFFIXES = (".keras", ".h5")

# Datasets with a loader of their own. Any other name is looked up in tensorflow-datasets.
DATASETS = Registry(
    "dataset",
    {
        "digits": "tost_tf.data.digits:load_digits",
        "tiny_imagenet": "tost_tf.data.tiny_imagenet:load_tiny_imagenet",
    },
)

MASKS = Registry(
    "mask",
    {
        "random": "tost_tf.masks.find:random",
        "erk": "tost_tf.masks.find:erk",
        "magnitude": "tost_tf.masks.find:magnitude",
        "snip": "tost_tf.masks.find:snip",
        "grasp": "tost_tf.masks.find:grasp",
        "synflow": "tost_tf.masks.find:synflow",
        "lottery": "tost_tf.lottery.ticket:lottery",
    },
)

DYNAMIC_METHODS = Registry(
    "dynamic method",
    {
        "set": "tost_tf.dynamic.methods:SET",
        "rigl": "tost_tf.dynamic.methods:RIGL",
        "granet": "tost_tf.dynamic.methods:GRANET",
    },
)

GROWTHS = Registry(
    "growth",
    {
        "random": "tost_tf.dynamic.growth:random_growth",
        "gradient": "tost_tf.dynamic.growth:gradient_growth",
    },
)

GHOST_NEURONS = Registry(
    "ghost neuron",
    {
        "pswish": "tost_tf.ghost.neurons:pswish",
        "mish": "tost_tf.ghost.neurons:mish",
    },
)

GHOST_SKIPS = Registry(
    "ghost skip",
    {
        "projection": "tost_tf.ghost.skips:projection",
        "identity": "tost_tf.ghost.skips:identity",
    },
)

GHOST_SCHEDULES = Registry(
    "ghost schedule",
    {
        "linear": "tost_tf.ghost.schedules:linear",
        "cosine": "tost_tf.ghost.schedules:cosine",
        "exponential": "tost_tf.ghost.schedules:exponential",
        "constant": "tost_tf.ghost.schedules:constant",
    },
)

# Image-classification datasets of tensorflow-datasets, so that a name is checked without importing it, and those to
# list. Others of it, or prepared in the data folder, are accepted too.
TFDS_DATASETS = tuple(
    [
        "beans",
        "binary_alpha_digits",
        "caltech101",
        "caltech_birds2010",
        "caltech_birds2011",
        "cars196",
        "cassava",
        "cats_vs_dogs",
        "cifar10",
        "cifar100",
        "cifar10_1",
        "citrus_leaves",
        "cmaterdb",
        "coil100",
        "colorectal_histology",
        "deep_weeds",
        "dtd",
        "emnist",
        "eurosat",
        "fashion_mnist",
        "food101",
        "horses_or_humans",
        "imagenet2012",
        "imagenet_resized",
        "imagenette",
        "imagewang",
        "kmnist",
        "malaria",
        "mnist",
        "mnist_corrupted",
        "omniglot",
        "oxford_flowers102",
        "oxford_iiit_pet",
        "patch_camelyon",
        "places365_small",
        "plant_leaves",
        "plant_village",
        "resisc45",
        "rock_paper_scissors",
        "smallnorb",
        "stanford_dogs",
        "stl10",
        "sun397",
        "svhn_cropped",
        "tf_flowers",
        "uc_merced",
    ]
)

# Images of characters: mirrored, they are another symbol or none, so they are not augmented by default.
CHARACTER_DATASETS = (
    "binary_alpha_digits",
    "cmaterdb",
    "digits",
    "emnist",
    "kmnist",
    "mnist",
    "mnist_corrupted",
    "omniglot",
    "svhn_cropped",
)
