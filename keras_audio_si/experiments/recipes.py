"""Registry of all recipes by name. A paper is a module with a list `RECIPES`, and an entry here."""

from keras_audio_si.experiments import fonseca2021, gazneli2022, juettner, liu2022

PAPERS = (fonseca2021, gazneli2022, juettner, liu2022)
RECIPES = {recipe.name: recipe for paper in PAPERS for recipe in paper.RECIPES}
