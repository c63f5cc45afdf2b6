"""Draws docs/synthetic_birds.png, a column for each of the 16 target species: `python docs/contact_sheet.py`."""

from pathlib import Path

from PIL import Image

from finegrain.data.synthetic import SyntheticBirds

DRAWN, SHOWN, ROWS = 128, 80, 6
"""Pixels an image is drawn with and shown with, and images a species."""
COLORS = 192

if __name__ == "__main__":
    birds = SyntheticBirds(image_size=DRAWN, train_per_species=ROWS, val_per_species=1, test_per_species=1).table()
    sheet = Image.new("RGB", (SHOWN * len(birds.class_names), SHOWN * ROWS))
    train = [sample for sample in birds.samples if sample.split == "train"]
    for number, sample in enumerate(train):
        image = Image.fromarray(birds.source.read(sample)).resize((SHOWN, SHOWN), Image.Resampling.LANCZOS)
        sheet.paste(image, (SHOWN * (number // ROWS), SHOWN * (number % ROWS)))
    sheet.quantize(COLORS, dither=Image.Dither.NONE).save(
        Path(__file__).with_name("synthetic_birds.png"), optimize=True
    )
