"""The experiment on distillation: which teachers and losses improve a student, on synthetic radiographs."""
