"""The built-in trainers, on scikit-learn.

Their modules are imported by catalogues and job workers, so importing one stays cheap: scikit-learn and pandas are
imported when a job trains, in its child process.
"""
