import dataclasses
import re

import pytest

from tost_tf.errors import TostError
from tost_tf.experiment.flags import read_config, to_flagfile
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.recipe import RECIPES
from tost_tf.options import Allowed


def test_defaults_are_the_papers():
    config = RunConfig.make()
    training = config.training
    assert (training.epochs, training.batch_size, training.learning_rate) == (180, 128, 0.1)
    assert (training.lr_drop_epochs, training.lr_drop_factor) == ((90, 135), 0.1)
    assert (training.momentum, training.weight_decay) == (0.9, 2e-4)
    assert config.recipe.ghost_end_epoch == 90


def test_defaults_follow_the_number_of_epochs():
    config = RunConfig.make(epochs=14)
    assert config.training.lr_drop_epochs == (7, 10)
    assert config.recipe.ghost_end_epoch == 7
    assert RunConfig.make(epochs=14, lr_drop_epochs=(3, 9)).recipe.ghost_end_epoch == 3
    assert RunConfig.make(epochs=14, lr_drop_epochs=()).recipe.ghost_end_epoch == 7


def test_recipe_sets_all_tweaks_and_each_can_be_set_alone():
    assert RunConfig.make(recipe="tost").recipe.ghost_skips == "projection"
    assert not RunConfig.make(recipe="default").recipe.has_ghosts
    mixed = RunConfig.make(recipe="tost", ghost_skips="none", label_smoothing=0.3).recipe
    assert (mixed.ghost_neurons, mixed.ghost_skips, mixed.label_smoothing) == ("pswish", "none", 0.3)
    assert RECIPES["tost"]["label_smoothing"] == 0.1


def test_recipes_set_options_of_any_kind():
    plus = RunConfig.make(recipe="tost_plus")
    assert (plus.training.optimizer, plus.training.schedule, plus.data.crop_padding) == ("sgd", "cosine", 0)
    assert plus.training.weight_decay == 5e-4
    as_default = RunConfig.make(recipe="tost_plus", schedule="step", weight_decay=2e-4, crop_padding=4)
    assert as_default.training == RunConfig.make().training and as_default.data.crop_padding == 4
    assert not RunConfig.make(recipe="tost_plus", augment=False).data.augment
    recipe = RunConfig.make(recipe="tost_plus_kd", teacher="t").recipe
    assert (recipe.distill_weight, recipe.distill_temperature, recipe.has_ghosts) == (0.7, 4.0, False)
    for name in RECIPES:
        config = RunConfig.make(recipe=name, teacher="t")
        assert RunConfig.make(**config.options()) == config


def test_learning_rate_is_the_default_of_the_optimizer():
    rates = {"sgd": 0.1, "orthogonal": 0.025, "lars": 0.05, "adamw": 1e-3}
    for name, rate in rates.items():
        assert RunConfig.make(optimizer=name).training.learning_rate == rate
        assert RunConfig.make(optimizer=name, learning_rate=0.3).training.learning_rate == 0.3


def test_with_a_cosine_nothing_drops_and_ghosts_end_after_half_of_the_epochs():
    config = RunConfig.make(schedule="cosine", epochs=14)
    assert config.training.lr_drop_epochs is None and config.recipe.ghost_end_epoch == 7
    superposed = RunConfig.make(schedule="cosine", epochs=100, superpose="caa")
    assert superposed.recipe.ghost_end_epoch == 46


def test_augmentation_is_off_for_characters():
    assert RunConfig.make(dataset="cifar10").data.augment
    assert not RunConfig.make(dataset="digits").data.augment
    assert RunConfig.make(dataset="digits", augment=True).data.augment


def test_padding_of_crops_needs_augmentation():
    assert RunConfig.make(crop_padding=0).data.crop_padding == 0
    for options in ({"dataset": "digits"}, {"augment": False}):
        with pytest.raises(TostError, match=re.escape("--crop_padding=2 has no effect with --augment=False: leave it")):
            RunConfig.make(crop_padding=2, **options)
    with pytest.raises(TostError, match="--crop_padding is -1, it must be at least 0"):
        RunConfig.make(crop_padding=-1)


def test_run_directory_is_named_after_the_run():
    config = RunConfig.make(dataset="digits", model="resnet20", sparsity=0.975, seed=3)
    assert config.machine.run_dir == "runs/resnet20_digits_random97.5_tost_seed3"
    tweaked = RunConfig.make(recipe="default", ghost_skips="identity", teacher="~/a b/c", epochs=8).machine.run_dir
    assert tweaked.startswith("runs/resnet32_cifar10_random95_default_ghost_skips=identity_teacher=_")
    assert tweaked.endswith("a_b_c_seed0") and "/" not in tweaked.removeprefix("runs/")
    application = RunConfig.make(model="applications/ResNet50").machine.run_dir
    assert application == "runs/ResNet50_cifar10_random95_tost_seed0"
    odd = RunConfig.make(mask_file="a/my[1]*.npz", model="resnet20").machine.run_dir
    assert odd == "runs/resnet20_cifar10_my_1__tost_seed0"
    assert RunConfig.make(mask_file="a/my.npz").machine.run_dir == "runs/resnet32_cifar10_my_tost_seed0"


def test_zeros_have_the_sparsity_they_have():
    config = RunConfig.make(mask="zeros", initial_weights="w.npz", dataset="digits", model="resnet20")
    assert config.machine.run_dir == "runs/resnet20_digits_zeros_tost_seed0" and not config.mask.has_sparsity
    assert RunConfig.make(**config.options()) == config


def test_sparsity_chooses_the_file_of_a_ticket():
    names = {"mask_file": "t/net_{sparsity}.npz", "initial_weights": "t/net_{sparsity}_weights.npz"}
    for sparsity, percent in ((0.98, "98"), (0.2, "20"), (0.975, "97.5")):
        config = RunConfig.make(mask="lottery", sparsity=sparsity, **names)
        assert config.mask.mask_file == f"t/net_{percent}.npz"
        assert config.mask.initial_weights == f"t/net_{percent}_weights.npz"
        assert config.machine.run_dir == f"runs/resnet32_cifar10_net_{percent}_tost_seed0"
        assert RunConfig.make(**config.options()) == config


def test_options_make_the_same_config_again():
    config = RunConfig.make(dataset="digits", epochs=9, recipe="default", ghost_neurons="mish", dense_layers="stem")
    assert RunConfig.make(**config.options()) == config


def test_config_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        RunConfig.make().training.epochs = 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sparsity": 1.0}, "--sparsity is 1, it must be at least 0 and below 1"),
        ({"sparsity": -0.1}, "--sparsity is -0.1"),
        ({"sparsity": float("nan")}, "--sparsity is nan"),
        (
            {"distill_weight": 0.5},
            "--distill_weight=0.5 has no effect with --teacher='': leave it out",
        ),
        ({"teacher": "t", "distill_weight": 1.5}, "--distill_weight is 1.5, it must be at least 0 and at most 1"),
        ({"teacher": "t", "distill_temperature": 0.0}, "--distill_temperature is 0, it must be above 0"),
        ({"epochs": 0}, "--epochs is 0, it must be at least 1"),
        ({"learning_rate": 0.0}, "--learning_rate is 0, it must be above 0"),
        ({"lr_drop_epochs": (3, -4)}, "--lr_drop_epochs is -4"),
        ({"model": "resnet33"}, "unknown --model 'resnet33': did you mean 'resnet34'?"),
        (
            {"model": "applications/ResNet5"},
            "unknown model 'applications/ResNet5': did you mean 'applications/ResNet50",
        ),
        ({"model": "mine.keras"}, "--model=mine.keras is not a file"),
        ({"mask": "zeros", "sparsity": 0.3}, "--sparsity=0.3 has no effect with --mask=zeros: leave it out"),
        ({"layer_sparsity": "stem"}, "--layer_sparsity=stem: 'stem' does not have the form PATTERN=SPARSITY"),
        ({"layer_sparsity": "stem=0", "mask": "lottery"}, "--layer_sparsity=stem=0 has no effect with --mask=lottery"),
        ({"layer_sparsity": "stem=0", "mask_file": "a.npz"}, "--layer_sparsity=stem=0 has no effect with --mask_file"),
        ({"layer_sparsity": "stem=0", "dynamic": "granet"}, "--dynamic=granet prunes all layers together"),
        ({"layer_sparsity": "stem=0", "superpose": "caa"}, "--superpose=caa prunes all layers together at its end"),
        ({"keep_zeros": False}, "--keep_zeros=False has no effect with --initial_weights='': leave it out"),
        ({"mask": "zeros", "dynamic": "granet", "initial_weights": "w.npz"}, "starts from a mask it finds at"),
        ({"mask": "magnitudes"}, "unknown --mask 'magnitudes': did you mean 'magnitude'?"),
        ({"dataset": "cifer10"}, "unknown --dataset 'cifer10': did you mean 'cifar10'?"),
        ({"dataset": ""}, "unknown --dataset ''"),
        ({"recipe": "toast"}, "unknown --recipe 'toast': did you mean 'tost'?"),
        ({"ghost_schedule": "lineal"}, "unknown --ghost_schedule 'lineal': did you mean 'linear'?"),
        ({"sparcity": 0.5}, "unknown option 'sparcity': did you mean 'sparsity'?"),
        ({"epochs": 5, "lr_drop_epochs": (2, 5)}, "--lr_drop_epochs has 5, but the run ends after --epochs=5"),
        ({"ghost_end_epoch": 0}, "--ghost_end_epoch is 0"),
        ({"schedule": "cosine", "lr_drop_epochs": (2,)}, "--lr_drop_epochs=2 has no effect with --schedule=cosine"),
        ({"recipe": "tost_plus", "lr_drop_factor": 0.3}, "--lr_drop_factor=0.3 has no effect with --schedule=cosine"),
        ({"optimizer": "adamw", "momentum": 0.5}, "--momentum=0.5 has no effect with --optimizer=adamw"),
        ({"optimizer": "orthogonl"}, "unknown --optimizer 'orthogonl': did you mean 'orthogonal'?"),
        ({"schedule": "cosin"}, "unknown --schedule 'cosin': did you mean 'cosine'?"),
        ({"recipe": "tost_plus_kd"}, "--recipe=tost_plus_kd needs --teacher"),
        ({"mask": "lottery", "mask_shuffle": True}, "--mask_shuffle would move the mask of --mask=lottery"),
        ({"epochs": 1}, "--epochs=1 leaves no epoch after the ghosts: train at least 2"),
        ({"epochs": 10**30}, "--epochs is 1e\\+30, it must be at least 1"),
        ({"epochs": "4"}, "--epochs is the text '4', it must be a number"),
        ({"epochs": 4.5}, "--epochs is 4.5, it must be a whole number"),
        ({"epochs": 5, "ghost_end_epoch": 5}, "--ghost_end_epoch=5 with --epochs=5 leaves no epoch without ghosts"),
        ({"beta_start": 3.0, "beta_end": 2.0}, "--beta_end=2 is below --beta_start=3"),
        (
            {"superpose": "caa", "weight_average": 0.9},
            "--superpose=caa averages networks itself: leave out --weight_av",
        ),
        ({"optimizer_tweak": "sign_in", "optimizer": "adamw"}, "--optimizer=adamw trains only kernels"),
        ({"optimizer_tweak": "ham", "ghost_neurons": "dyrelu"}, "those of --ghost_neurons=dyrelu do not bear"),
        ({"optimizer_tweak": "sign_in", "mask": "none"}, "--mask=none has none"),
        (
            {"ghost_neurons": "dyrelu", "beta_end": 9.0},
            "--beta_end=9.0 has no effect with --ghost_neurons=dyrelu: leave it out",
        ),
        ({"beta_start": 0.0, "beta_schedule": "inverse"}, "--beta_schedule=inverse needs --beta_start above 0"),
        ({"dense_layers": "("}, "--dense_layers='\\(' is not a regular expression"),
        ({"mask": "none", "mask_file": "a.npz"}, "contradict each other"),
        ({"virtual_devices": 2, "distribution": "none"}, "--virtual_devices=2 has no effect with --distribution=none"),
        ({"mixed_precision": "float15"}, "unknown --mixed_precision 'float15': did you mean 'float16'?"),
        ({"mixed_precision": "bfloat16", "hessian_every": 1}, "--hessian_every with --mixed_precision=bfloat16"),
        ({"mixed_precision": "float16", "gradient_flow_every": 2}, "--gradient_flow_every with --mixed_precision"),
        ({"run_dir": "runs/a[1]"}, r"--run_dir=runs/a\[1\] contains '\[', so TensorFlow would not find the check"),
        ({"run_dir": "runs/*"}, r"--run_dir=runs/\* contains '\*'"),
        ({"run_dir": "what?"}, "--run_dir=what? contains '?'"),
        ({"virtual_devices": -1}, "--virtual_devices is -1, it must be at least 0"),
    ],
)
def test_bad_values_are_refused(options, message):
    with pytest.raises(TostError, match=message.replace("?", r"\?")):
        RunConfig.make(**options)


def test_dataset_prepared_in_the_data_folder_is_known(tmp_path):
    (tmp_path / "my_images/1.0.0").mkdir(parents=True)
    (tmp_path / "my_images/1.0.0/dataset_info.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    for name in ("empty", ".", str(tmp_path / "my_images")):
        with pytest.raises(TostError, match="unknown --dataset"):
            RunConfig.make(dataset=name, data_dir=str(tmp_path))
    assert RunConfig.make(dataset="my_images", data_dir=str(tmp_path)).data.dataset == "my_images"
    with pytest.raises(TostError, match="unknown --dataset 'your_images'"):
        RunConfig.make(dataset="your_images", data_dir=str(tmp_path))


def test_ghosts_kept_to_the_end_need_no_end():
    recipe = RunConfig.make(epochs=5, ghost_end_epoch=-1).recipe
    assert recipe.keeps_ghosts
    assert not RunConfig.make(recipe="default").recipe.keeps_ghosts


def test_range_is_given_in_words():
    assert Allowed("", minimum=0, below=1).range_text() == "at least 0 and below 1"
    assert Allowed("", above=0.5, maximum=2).range_text() == "above 0.5 and at most 2"
    assert not Allowed("", above=0.5).contains(0.5)
    assert Allowed("", minimum=0.5).contains(0.5)


def test_recipe_label_says_what_differs():
    assert RunConfig.make(recipe="tost", epochs=8).recipe_label == "tost"
    assert RunConfig.make(recipe="default", epochs=8).recipe_label == "default"
    label = RunConfig.make(recipe="default", ghost_skips="identity", label_smoothing=0.2).recipe_label
    assert label == "default ghost_skips=identity label_smoothing=0.2"
    assert RunConfig.make(recipe="tost", epochs=8, ghost_end_epoch=3).recipe_label == "tost ghost_end_epoch=3"
    assert RunConfig.make(recipe="tost_plus", learning_rate=0.2).recipe_label == "tost_plus"
    assert RunConfig.make(recipe="tost_plus", schedule="step").recipe_label == "tost_plus schedule=step"
    assert RunConfig.make(recipe="default", optimizer="lars").recipe_label == "default optimizer=lars"
    assert RunConfig.make(recipe="tost_plus_kd", teacher="t").recipe_label == "tost_plus_kd teacher=t"
    assert RunConfig.make(recipe="tost", ghost_end_epoch=-1).recipe_label == "tost ghost_end_epoch=-1"


def test_lists_are_taken_and_home_is_found():
    config = RunConfig.make(epochs=9, lr_drop_epochs=[3, 5], run_dir="~/runs/a")
    assert config.training.lr_drop_epochs == (3, 5) and not config.machine.run_dir.startswith("~")


def test_weights_of_a_file_are_rescaled_only_on_request(tmp_path):
    path = tmp_path / "mine.keras"
    path.touch()
    file, zoo = (RunConfig.make(model=model) for model in (str(path), "resnet20"))
    assert not file.recipe.rescale_init and zoo.recipe.rescale_init
    assert RunConfig.make(model=str(path), rescale_init=True).recipe.rescale_init
    assert file.recipe_label == "tost rescale_init=False"


def test_what_a_model_file_sets_is_written_with_the_options(tmp_path):
    path = tmp_path / "mine.keras"
    path.touch()
    for options in ({}, {"rescale_init": True, "rescale_steps": 3}):
        config = RunConfig.make(model=str(path), **options)
        (tmp_path / "config.flags").write_text(to_flagfile(config))
        assert read_config(tmp_path / "config.flags") == config


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr_drop_epochs": 5}, r"--lr_drop_epochs is 5, it must be several numbers, such as \(30, 60\)"),
        ({"dataset": 3}, "--dataset is 3, it must be a text"),
        ({"dataset": None}, "--dataset is None, it must be given"),
        ({"epochs": [3]}, r"--epochs is \(3,\), it must be a number"),
        ({"augment": "yes"}, "--augment is 'yes', it must be True or False"),
    ],
)
def test_values_of_another_type(options, message):
    with pytest.raises(TostError, match=message):
        RunConfig.make(**options)


def test_paths_and_dictionaries_are_taken(tmp_path):
    config = RunConfig.make(dataset="digits", run_dir=tmp_path / "run", layer_sparsity={"stem": 0.3, "conv.*": 0.5})
    assert config.machine.run_dir == str(tmp_path / "run")
    assert config.mask.layer_sparsity == "stem=0.3,conv.*=0.5"
