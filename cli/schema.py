"""imgcls schema. Light zone."""

from imgcls.cli import output


def schema() -> None:
    """Print the JSON Schema of experiment files, for editors that complete and check YAML.

    Example: imgcls schema > imgcls.schema.json
    """
    from imgcls.experiment_schema import make_json_schema

    print(output.to_json(make_json_schema()))
