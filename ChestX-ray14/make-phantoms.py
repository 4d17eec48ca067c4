"""Draw a set of synthetic chest radiographs in NIH's layout: the whole study can be tried without patients.

    python make-phantoms.py --count 2000 --size 64 --difficulty easy
    python make-phantoms.py --sheet sheet.png          (examples of every finding, no set)

Leaves behind, in --out: images/*.png, Data_Entry_2017_synthetic.csv, train_val_list.txt, test_list.txt,
BBox_List_2017_synthetic.csv, true_labels.csv and a README.txt; prepare.py takes that folder as its --source.
One core draws and writes about 130 radiographs a second at 64 px and 70 at 128 px. An interrupted
run can be resumed with the same command.
"""

from cxr14 import script
from cxr14.data_settings import PhantomSettings

# Edit these, or override any of them: python make-phantoms.py --count 500
OUT = "phantoms"  # apart from images/, so that synthetic and real radiographs never mix
COUNT = 2000
SIZE = 128
SEED = 0
DIFFICULTY = "standard"

if __name__ == "__main__":
    with script.run(PhantomSettings, globals()) as settings:
        # Imported here because it loads numpy and pillow, which --help does not need.
        from cxr14.phantom.command import make_phantoms

        make_phantoms(settings)
