"""Which image every container runs: registry, repository, tag or digest, and pull policy."""

import re
from typing import Any

import pytest

from tests.helpers.chart.manifests import pods
from tests.helpers.chart.render import CHART, HelmError, Rendered, overlaid, render, values_of

REPOSITORIES = {name: f"user-insights/{name}" for name in ("airflow", "publisher", "spark", "dashboard")}
DIGEST = f"sha256:{'0123456789abcdef' * 4}"


def references(rendered: Rendered) -> set[str]:
    return {str(container.spec["image"]) for pod in pods(rendered) for container in pod.containers()}


def with_images(profile: str, **images: Any) -> Rendered:
    return render(overlaid(values_of(profile), {"images": images}))


@pytest.mark.parametrize("registry", ["registry.test:5000/team", "registry.test:5000/team/"])
def test_a_registry_means_the_same_with_and_without_a_trailing_slash(profile: str, registry: str) -> None:
    rendered = with_images(profile, registry=registry, tag="v9")
    assert references(rendered) == {f"registry.test:5000/team/{one}:v9" for one in REPOSITORIES.values()}


def test_every_container_has_the_pull_policy_of_the_values(profile: str) -> None:
    for policy in ("IfNotPresent", "Always"):
        rendered = with_images(profile, registry="registry.test", pullPolicy=policy)
        containers = [container for pod in pods(rendered) for container in pod.containers()]
        assert {container.spec.get("imagePullPolicy") for container in containers} == {policy}


@pytest.mark.parametrize("name", REPOSITORIES)
def test_an_image_has_a_repository_and_a_tag_of_its_own(name: str) -> None:
    rendered = with_images("kind", registry="registry.test", **{name: {"repository": "mine/other", "tag": "v2"}})
    others = {f"registry.test/{one}:0.1.0" for other, one in REPOSITORIES.items() if other != name}
    assert references(rendered) == others | {"registry.test/mine/other:v2"}


@pytest.mark.parametrize("name", REPOSITORIES)
def test_a_digest_takes_precedence_over_every_tag(name: str) -> None:
    rendered = with_images("kind", registry="registry.test", tag="v9", **{name: {"tag": "v2", "digest": DIGEST}})
    others = {f"registry.test/{one}:v9" for other, one in REPOSITORIES.items() if other != name}
    assert references(rendered) == others | {f"registry.test/{REPOSITORIES[name]}@{DIGEST}"}


def test_an_image_that_is_a_string_is_its_repository(profile: str) -> None:
    """Earlier charts had no other form, and `helm upgrade --reuse-values` still passes it."""
    mine = {name: f"mine/{name}" for name in REPOSITORIES}
    rendered = with_images(profile, registry="registry.test/", tag="v9", **mine)
    assert references(rendered) == {f"registry.test/mine/{name}:v9" for name in REPOSITORIES}


@pytest.mark.parametrize("profile", ["defaults", "small", "production"])
def test_profiles_other_than_kind_require_a_registry(profile: str) -> None:
    with pytest.raises(HelmError) as rejected:
        with_images(profile, registry="")
    [sentence] = [line for line in str(rejected.value).splitlines() if "images.registry" in line]
    assert "`make push REGISTRY=registry.example.org/team`" in sentence
    assert "`--set images.registry=registry.example.org/team`" in sentence
    assert "images.preloaded" in sentence


def test_the_kind_profile_expects_the_images_on_the_node() -> None:
    assert "registry" not in values_of("kind")["images"]
    assert references(render("kind")) == {f"{one}:0.1.0" for one in REPOSITORIES.values()}


EXAMPLE = {name: f"example.org/{name}" for name in REPOSITORIES}


@pytest.mark.parametrize(
    ("images", "repositories"),
    [
        ({"preloaded": True}, REPOSITORIES),
        ({"preloaded": True, "pullPolicy": "Never"}, REPOSITORIES),
        ({"pullPolicy": "Never"}, REPOSITORIES),
        ({name: {"repository": repository} for name, repository in EXAMPLE.items()}, EXAMPLE),
        (EXAMPLE, EXAMPLE),
    ],
)
def test_images_on_the_node_and_other_repositories_require_no_registry(
    images: dict[str, Any], repositories: dict[str, str]
) -> None:
    for registry in ("", None):
        rendered = with_images("small", registry=registry, **images)
        assert references(rendered) == {f"{repository}:0.1.0" for repository in repositories.values()}


def test_an_unused_image_requires_no_registry() -> None:
    images = {name: repository for name, repository in EXAMPLE.items() if name != "airflow"}
    rendered = render(
        overlaid(values_of("small"), {"airflow": {"enabled": False}, "images": {"registry": "", **images}})
    )
    assert references(rendered) == {f"{repository}:0.1.0" for repository in images.values()}


@pytest.mark.parametrize(
    ("image", "value"),
    [
        ("airflow", {"digest": DIGEST.removeprefix("sha256:")}),
        ("publisher", {"digest": DIGEST[:-1]}),
        ("spark", {"digest": DIGEST.upper()}),
        ("dashboard", {"digest": f"{DIGEST}0"}),
        ("airflow", {"repository": ""}),
        ("spark", ""),
        ("registry", "https://registry.test"),
    ],
)
def test_a_malformed_part_of_a_reference_is_rejected_by_name(image: str, value: Any) -> None:
    key = "/".join(["/images", image, *(value if isinstance(value, dict) else ())])
    with pytest.raises(HelmError, match=re.escape(f"'{key}': ")):
        with_images("small", **{image: value})


def test_one_helper_renders_every_image() -> None:
    written = {
        str(path.relative_to(CHART)): found
        for path in sorted((CHART / "templates").rglob("*.[ty]*"))
        if (found := re.findall(r"^ *(?:- )?(?:image|imagePullPolicy):.*", path.read_text(), re.MULTILINE))
    }
    assert written.keys() == {"templates/_helpers.tpl"}
    assert len(written["templates/_helpers.tpl"]) == 2
