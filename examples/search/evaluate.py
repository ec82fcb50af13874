# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Prints how bad a schedule is, for weft-search: a formula that stands for running a model.

Outputs change fast in the first steps and slowly later, and what is not computed anew adds its age times that change
to the error. A real evaluation runs the model with the schedule and prints the mean square error to its full output.
"""

import json
import sys


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        budgets = json.load(file)["budgets"]
    error, age = 0.0, 0.0
    for step, budget in enumerate(budgets):
        age = (age + 1) * (1 - budget)
        error += age**2 / (1 + step) ** 1.5
    print(error / len(budgets))


if __name__ == "__main__":
    main()
