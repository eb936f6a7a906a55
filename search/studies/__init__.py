"""Studies: how one is made, compared with what is asked for, refitted, and begun from another's model.

A study is Optuna's, with one attribute of ours that holds its key, seed and definition, and one lease a unit of its
budget. Needs a database and files, no worker and no child.
"""
