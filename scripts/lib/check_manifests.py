"""Checks deploy/kubernetes: check_manifests.py FOLDER [FERRUN]

Every manifest, and what the chart renders for several values, against the published schemas, an unknown field being an error:
Kubernetes' own kinds by kubernetes-validate, JobSet and TrainJob by the models of Kubeflow's Trainer, PyTorchJob by those of its
training operator. Helm's own code lints and renders the chart. With FERRUN, a program, the command line of every container is
given to `ferrun --dry-run` with the variables that its controller would set.
"""

import ast
import glob
import importlib
import os
import re
import stat
import subprocess
import sys
import sysconfig
import tempfile

import helm_python
import kubernetes_validate
import yaml

KUBERNETES = ("1.30", kubernetes_validate.latest_version())

# What the controllers set in a container of theirs, in the second pod of two.
POD = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "HOSTNAME": "emotion-1"}
VARIABLES = {
    "Job": {"JOB_COMPLETION_INDEX": "1"},
    "JobSet": {"JOB_COMPLETION_INDEX": "1"},
    "PyTorchJob": {
        "PYTHONUNBUFFERED": "0", "PET_RDZV_BACKEND": "c10d", "PET_RDZV_ENDPOINT": "emotion-worker-0:23456",
        "PET_NNODES": "1:4", "PET_MAX_RESTARTS": "3", "PET_RDZV_ID": "emotion",
    },
    "TrainJob": {
        "PET_NNODES": "2", "PET_NPROC_PER_NODE": "auto", "PET_NODE_RANK": "1", "PET_MASTER_ADDR": "emotion-node-0-0.emotion",
        "PET_MASTER_PORT": "29500", "JOB_COMPLETION_INDEX": "1",
    },
}  # fmt: skip

CHART_VALUES = [
    {},
    {"nodes": 1, "workers": 2, "gpus": 0, "options": ["--start-method=forkserver"]},
    {"tokenSecret": "emotion", "dataClaim": "emotion", "user": 70001, "nodeSelector": {"zone": "a"},
     "env": [{"name": "NCCL_DEBUG", "value": "INFO"}], "tolerations": [{"operator": "Exists"}],
     "resources": {"requests": {"memory": "8Gi"}, "limits": {"memory": "16Gi"}}},
]  # fmt: skip
WRONG_CHART_VALUES = [{"nodes": 0}, {"wrokers": 2}, {"workers": "many"}, {"program": []}]


class Wrong(Exception):
    pass


def expect(condition, message):
    if not condition:
        raise Wrong(message)


def check_core(document):
    for version in KUBERNETES:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            raise Wrong(f"Kubernetes {version}: {'.'.join(map(str, error.path))}: {error.message}") from None


def check_by_model(document, module, model):
    """The generated models pass over what they do not know: it is missing in what they give back."""
    known = getattr(importlib.import_module(f"kubeflow_trainer_api.models.{module}"), model)
    try:
        back = known.from_dict(document).to_dict()
    except ValueError as error:
        raise Wrong(str(error)) from None
    expect_same(document, back, "")


def expect_same(wanted, found, path):
    if isinstance(wanted, dict):
        for key, value in wanted.items():
            expect(isinstance(found, dict) and key in found, f"{path}.{key}: no such field")
            expect_same(value, found[key], f"{path}.{key}")
    elif isinstance(wanted, list):
        for at, value in enumerate(wanted):
            expect_same(value, found[at], f"{path}[{at}]")


def check_job_template(spec):
    check_core({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "template"}, "spec": spec})


def check_job_set(document):
    check_by_model(document, "jobset_v1alpha2_job_set", "JobsetV1alpha2JobSet")
    for job in document["spec"]["replicatedJobs"]:
        check_job_template(job["template"]["spec"])


def check_train_job(document):
    check_by_model(document, "trainer_v1alpha1_train_job", "TrainerV1alpha1TrainJob")


class OperatorModels:
    """The training operator's models as its SDK has them, read and not run: it would bring a client along."""

    def __init__(self, folder):
        self.fields = {}
        for path in glob.glob(os.path.join(folder, "kubeflow_org_v1_*.py")):
            with open(path, encoding="utf-8") as file:
                text = file.read()
            for node in ast.parse(text).body:
                if isinstance(node, ast.ClassDef):
                    self.fields[node.name] = self.fields_of(node, text)

    @staticmethod
    def fields_of(node, text):
        tables = {
            line.targets[0].id: ast.literal_eval(line.value)
            for line in node.body
            if isinstance(line, ast.Assign) and isinstance(line.value, ast.Dict)
        }
        return {
            json_name: (tables["openapi_types"][name], f"client_side_validation and {name} is None" in text)
            for name, json_name in tables["attribute_map"].items()
        }

    def check(self, value, kind, path):
        container = re.fullmatch(r"(list|dict)(?:\[|\(str, )(.*)[\])]", kind)
        if container:
            expect(isinstance(value, {"list": list, "dict": dict}[container[1]]), f"{path}: expected a {container[1]}")
            for key, item in enumerate(value) if container[1] == "list" else value.items():
                self.check(item, container[2], f"{path}.{key}")
        elif kind in self.fields:
            fields = self.fields[kind]
            for name, item in value.items():
                expect(name in fields, f"{path}.{name}: no such field")
                self.check(item, fields[name][0], f"{path}.{name}")
            for name, (_, required) in fields.items():
                expect(not required or name in value, f"{path}.{name} is missing")
        elif kind.endswith("PodTemplateSpec"):
            check_core({"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "template"}, "template": value})
        elif kind in ("int", "str", "bool"):
            expect(type(value).__name__ == kind, f"{path}: expected {kind}, and it is {value!r}")


def check_pytorch_job(document):
    folder = os.path.join(sysconfig.get_paths()["purelib"], "kubeflow", "training", "models")
    OperatorModels(folder).check(document, "KubeflowOrgV1PyTorchJob", "")


CHECKS = {"JobSet": check_job_set, "TrainJob": check_train_job, "PyTorchJob": check_pytorch_job}


def check(document):
    expect(isinstance(document, dict) and document.get("kind"), "no manifest")
    expect("null" not in yaml.safe_dump(document).split(), "a field without a value")
    CHECKS.get(document["kind"], check_core)(document)


def containers(value):
    """Every container of a manifest with arguments, and a trainer of Kubeflow's, which has the same fields."""
    if isinstance(value, dict):
        if isinstance(value.get("args"), list):
            yield value
        for item in value.values():
            yield from containers(item)
    elif isinstance(value, list):
        for item in value:
            yield from containers(item)


def check_command_line(document, container, ferrun, folder):
    """What ferrun makes of a container's line; the variables that come from elsewhere have a value of the right form."""
    environment = {"PATH": f"{folder}:/usr/bin:/bin", **POD, **VARIABLES[document["kind"]]}
    for variable in container.get("env", []):
        environment[variable["name"]] = variable.get("value", "x" * 32)
    # Without a GPU here that word is refused, rightly.
    words = [word.replace("--nproc-per-node=gpu", "--nproc-per-node=auto") for word in container["args"]]
    done = subprocess.run([ferrun, "--dry-run", *words], env=environment, capture_output=True, text=True, cwd=folder)
    expect(done.returncode == 0, f"ferrun --dry-run {' '.join(words)}: {done.stderr.strip()}")


def render(folder, values):
    with helm_python.Chart.load(folder) as chart:
        files = chart.render(values, name="emotion", namespace="training")
    return [document for text in files.values() for document in yaml.safe_load_all(text) if document]


def chart_documents(folder):
    warning = 2
    report = helm_python.lint(folder)
    findings = [found for found in report["messages"] if found["severity"] >= warning] + report["errors"]
    expect(not findings, f"helm lint: {findings}")
    for values in CHART_VALUES:
        documents = render(folder, values)
        expect(sorted(document["kind"] for document in documents) == ["Job", "Service"], f"rendered with {values}")
        for document in documents:
            yield f"chart with {values}", document
    for values in WRONG_CHART_VALUES:
        try:
            render(folder, values)
        except helm_python.HelmError:
            continue
        raise Wrong(f"chart: {values} is not refused")


def documents(folder):
    for path in sorted(glob.glob(os.path.join(folder, "*.yaml"))):
        with open(path, encoding="utf-8") as file:
            for document in yaml.safe_load_all(file):
                yield os.path.basename(path), document
    yield from chart_documents(os.path.join(folder, "chart"))


def stand_in_worker(folder):
    """--dry-run looks for the program, and does not start it."""
    path = os.path.join(folder, "worker")
    with open(path, "w", encoding="utf-8") as file:
        file.write("#!/bin/sh\n")
    os.chmod(path, stat.S_IRWXU)


def main(folder, ferrun=None):
    count = lines = 0
    with tempfile.TemporaryDirectory() as scratch:
        stand_in_worker(scratch)
        for name, document in documents(folder):
            try:
                check(document)
                for container in containers(document) if ferrun else ():
                    check_command_line(document, container, os.path.abspath(ferrun), scratch)
                    lines += 1
            except Wrong as error:
                sys.exit(f"{name}: {document.get('kind')}: {error}")
            count += 1
    print(f"{count} manifests fit their schemas" + (f", {lines} command lines are ferrun's" if ferrun else ""))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Wrong as wrong:
        sys.exit(str(wrong))
