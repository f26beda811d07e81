"""Image Builder: what builds are made from, and builds."""

from .embedded_aws import pages, refused, until

# The first build fails in its test phase, so that it can be retried.
SCENARIO = """version: 1
build:
  times: 1
  outcome:
    failed: {component: tour, phase: test, step: Nothing, message: as the tour wants it}
"""
DATA = """name: tour
schemaVersion: 1.0
phases:
  - name: build
    steps:
      - name: Nothing
        action: ExecuteBash
        inputs: {commands: ["true"]}
"""


def tour(aws):
    builder = aws.client("imagebuilder")
    arns = resources(aws, builder)
    image = builds(builder, arns)
    workflows(builder, image)
    ends(builder, arns, image)
    containers(aws, builder, arns)


def containers(aws, builder, arns):
    """A container recipe, the image it is pushed as, and the end of both."""
    recipe = {"containerType": "DOCKER", "name": "tour-container", "semanticVersion": "1.0.0",
              "parentImage": "amazonlinux:2023", "platformOverride": "Linux", "clientToken": "cr",
              "dockerfileTemplateData": "FROM {{{ imagebuilder:parentImage }}}\nRUN true\n",
              "targetRepository": {"service": "ECR", "repositoryName": "tour-container"}}
    refused("InvalidRequestException", 400, builder.create_container_recipe,
            **{**recipe, "dockerfileTemplateUri": "s3://bucket/Dockerfile", "clientToken": "both"})
    made = builder.create_container_recipe(**recipe)["containerRecipeArn"]
    assert builder.create_container_recipe(**recipe)["containerRecipeArn"] == made
    refused("ResourceAlreadyExistsException", 400, builder.create_container_recipe, **{**recipe, "clientToken": "again"})
    shown = builder.get_container_recipe(containerRecipeArn=made)["containerRecipe"]
    assert (shown["parentImage"], shown["targetRepository"]["repositoryName"]) == ("amazonlinux:2023", "tour-container")
    spare = builder.create_container_recipe(**{**recipe, "name": "spare-container", "clientToken": "sc"})
    assert len(pages(builder, "list_container_recipes", "containerRecipeSummaryList", 1)) == 2
    builder.delete_container_recipe(containerRecipeArn=spare["containerRecipeArn"])
    refused("ResourceNotFoundException", 404, builder.delete_container_recipe,
            containerRecipeArn=spare["containerRecipeArn"])
    ecr = aws.client("ecr")
    ecr.create_repository(repositoryName="tour-container")
    refused("InvalidRequestException", 400, builder.create_image, containerRecipeArn=made, imageRecipeArn=arns["recipe"],
            infrastructureConfigurationArn=arns["infrastructure"], clientToken="two")
    image = builder.create_image(containerRecipeArn=made, infrastructureConfigurationArn=arns["infrastructure"],
                                 clientToken="co")["imageBuildVersionArn"]
    until(lambda: state(builder, image) == "AVAILABLE", "the container is built")
    shown = builder.get_image(imageBuildVersionArn=image)["image"]
    assert shown["type"] == "DOCKER" and "imageRecipe" not in shown, shown
    [container] = shown["outputResources"]["containers"]
    assert container["imageUris"][0].endswith("/tour-container:1.0.0-1"), container
    pushed = ecr.describe_images(repositoryName="tour-container", imageIds=[{"imageTag": "1.0.0-1"}])["imageDetails"]
    assert len(pushed) == 1
    refused("ResourceDependencyException", 400, builder.delete_container_recipe, containerRecipeArn=made)


def resources(aws, builder):
    parent = aws.client("ec2").describe_images(Owners=["self"])["Images"][0]["ImageId"]
    component = {"name": "tour", "semanticVersion": "1.0.0", "platform": "Linux", "data": DATA, "clientToken": "c"}
    made = builder.create_component(**component)["componentBuildVersionArn"]
    assert builder.create_component(**component)["componentBuildVersionArn"] == made
    refused("IdempotentParameterMismatchException", 400, builder.create_component, **{**component, "platform": "Windows"})
    assert builder.get_component(componentBuildVersionArn=made)["component"]["name"] == "tour"
    assert "tour" in {c["name"] for c in pages(builder, "list_components", "componentVersionList", 1)}
    recipe = builder.create_image_recipe(name="tour", semanticVersion="1.0.0", parentImage=parent, clientToken="r",
                                         components=[{"componentArn": made}])["imageRecipeArn"]
    assert builder.get_image_recipe(imageRecipeArn=recipe)["imageRecipe"]["parentImage"] == parent
    assert len(pages(builder, "list_image_recipes", "imageRecipeSummaryList", 1)) == 2
    infrastructure = builder.create_infrastructure_configuration(
        name="tour", instanceProfileName="image-builder", clientToken="i")["infrastructureConfigurationArn"]
    shown = builder.get_infrastructure_configuration(infrastructureConfigurationArn=infrastructure)
    assert shown["infrastructureConfiguration"]["instanceProfileName"] == "image-builder"
    assert len(pages(builder, "list_infrastructure_configurations", "infrastructureConfigurationSummaryList", 1)) == 2
    distribution = builder.create_distribution_configuration(name="tour", clientToken="d", distributions=[
        {"region": "eu-west-1", "amiDistributionConfiguration": {"name": "tour {{ imagebuilder:buildDate }}"}}],
    )["distributionConfigurationArn"]
    shown = builder.get_distribution_configuration(distributionConfigurationArn=distribution)
    assert shown["distributionConfiguration"]["distributions"][0]["region"] == "eu-west-1"
    assert len(pages(builder, "list_distribution_configurations", "distributionConfigurationSummaryList", 1)) == 2
    pipeline = builder.create_image_pipeline(
        name="tour", imageRecipeArn=recipe, infrastructureConfigurationArn=infrastructure,
        distributionConfigurationArn=distribution, clientToken="p", tags={"of": "tour"})["imagePipelineArn"]
    assert builder.get_image_pipeline(imagePipelineArn=pipeline)["imagePipeline"]["name"] == "tour"
    assert len(pages(builder, "list_image_pipelines", "imagePipelineList", 1)) == 2
    builder.tag_resource(resourceArn=pipeline, tags={"more": "1"})
    assert builder.list_tags_for_resource(resourceArn=pipeline)["tags"] == {"of": "tour", "more": "1"}
    builder.untag_resource(resourceArn=pipeline, tagKeys=["more"])
    assert builder.list_tags_for_resource(resourceArn=pipeline)["tags"] == {"of": "tour"}
    refused("ResourceNotFoundException", 404, builder.get_image_pipeline, imagePipelineArn=pipeline + "-none")
    spare(builder, parent)
    return {"pipeline": pipeline, "recipe": recipe, "infrastructure": infrastructure}


def spare(builder, parent):
    """What nothing is made from goes; what something is made from stays."""
    component = builder.create_component(name="spare", semanticVersion="1.0.0", platform="Linux", data=DATA,
                                         clientToken="spare-c")["componentBuildVersionArn"]
    recipe = builder.create_image_recipe(name="spare", semanticVersion="1.0.0", parentImage=parent, clientToken="spare-r",
                                         components=[{"componentArn": component}])["imageRecipeArn"]
    refused("ResourceDependencyException", 400, builder.delete_component, componentBuildVersionArn=component)
    assert builder.delete_image_recipe(imageRecipeArn=recipe)["imageRecipeArn"] == recipe
    refused("ResourceNotFoundException", 404, builder.delete_image_recipe, imageRecipeArn=recipe)
    assert builder.delete_component(componentBuildVersionArn=component)["componentBuildVersionArn"] == component
    refused("ResourceNotFoundException", 404, builder.delete_component, componentBuildVersionArn=component)


def state(builder, image):
    return builder.get_image(imageBuildVersionArn=image)["image"]["state"]["status"]


def builds(builder, arns):
    started = builder.start_image_pipeline_execution(imagePipelineArn=arns["pipeline"], clientToken="s")
    image = started["imageBuildVersionArn"]
    again = builder.start_image_pipeline_execution(imagePipelineArn=arns["pipeline"], clientToken="s")
    assert again["imageBuildVersionArn"] == image
    refused("IdempotentParameterMismatchException", 400, builder.start_image_pipeline_execution,
            imagePipelineArn=arns["pipeline"], clientToken="s", tags={"other": "1"})
    until(lambda: state(builder, image) == "FAILED", "the build fails in its tests")
    builder.retry_image(imageBuildVersionArn=image, clientToken="z")
    until(lambda: state(builder, image) == "AVAILABLE", "the retried build ends")
    shown = builder.get_image(imageBuildVersionArn=image)["image"]
    assert [a["region"] for a in shown["outputResources"]["amis"]] == ["eu-west-1"]
    other = builder.create_image(imageRecipeArn=arns["recipe"], infrastructureConfigurationArn=arns["infrastructure"],
                                 clientToken="o")["imageBuildVersionArn"]
    builder.cancel_image_creation(imageBuildVersionArn=other, clientToken="x")
    until(lambda: state(builder, other) == "CANCELLED", "the build is cancelled")
    refused("InvalidRequestException", 400, builder.retry_image, imageBuildVersionArn=image, clientToken="y")
    refused("InvalidRequestException", 400, builder.retry_image, imageBuildVersionArn=other, clientToken="v")
    assert image in {i["arn"] for i in pages(
        builder, "list_image_pipeline_images", "imageSummaryList", 1, imagePipelineArn=arns["pipeline"])}
    versions = pages(builder, "list_images", "imageVersionList", 1, owner="Self")
    assert versions
    listed = pages(builder, "list_image_build_versions", "imageSummaryList", 1,
                   imageVersionArn=image.rpartition("/")[0])
    assert {image, other} <= {i["arn"] for i in listed}
    of = [{"name": "imageBuildVersionArn", "values": [image]}]
    assert builder.list_image_scan_findings(filters=of)["findings"] == []
    none = [{"name": "imageBuildVersionArn", "values": [image[:-1] + "99"]}]
    refused("ResourceNotFoundException", 404, builder.list_image_scan_findings, filters=none)
    return image


def workflows(builder, image):
    runs, token = [], {}
    while True:
        page = builder.list_workflow_executions(imageBuildVersionArn=image, maxResults=1, **token)
        runs += page["workflowExecutions"]
        if "nextToken" not in page:
            break
        token = {"nextToken": page["nextToken"]}
    assert {r["type"] for r in runs} >= {"BUILD"}, runs
    run = runs[0]["workflowExecutionId"]
    assert builder.get_workflow_execution(workflowExecutionId=run)["status"] == "COMPLETED"
    steps = builder.list_workflow_step_executions(workflowExecutionId=run)["steps"]
    assert steps and all(s["status"] in ("COMPLETED", "SKIPPED") for s in steps)


def ends(builder, arns, image):
    refused("ResourceNotFoundException", 404, builder.get_image, imageBuildVersionArn=image[:-1] + "99")
    refused("ResourceNotFoundException", 404, builder.start_image_pipeline_execution,
            imagePipelineArn=arns["pipeline"] + "-none", clientToken="q")
    refused("InvalidRequestException", 400, builder.cancel_image_creation, imageBuildVersionArn=image, clientToken="w")
    builder.delete_image(imageBuildVersionArn=image)
    refused("ResourceNotFoundException", 404, builder.get_image, imageBuildVersionArn=image)
