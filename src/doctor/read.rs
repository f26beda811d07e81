//! Reads AWS for [`super::checks`]. No call here changes anything.

use std::collections::BTreeMap;

use aws_sdk_codepipeline::types::{
    ActionDeclaration, ActionOwner, ActionTypeId, ArtifactStore, PipelineDeclaration, StageDeclaration,
};
use aws_sdk_ec2::types::InstanceType;
use aws_sdk_s3::types::BucketLocationConstraint;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::observed::{
    Action, ActionType, Caller, Key, Network, Observed, Parameter, Pipeline, Property, Store,
};
use crate::aws::{Aws, AwsError, Class};
use crate::worker::action::stage_of_provider;

/// None for a resource that does not exist.
fn found<T>(answer: Result<T, AwsError>) -> Observed<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.class == Class::Missing => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Reads the principal of the credentials in use.
///
/// # Errors
/// The call fails.
pub async fn caller(aws: &Aws) -> Observed<Caller> {
    let answer = aws.sts.get_caller_identity().send().await;
    let answer = answer.map_err(|e| AwsError::new("sts:GetCallerIdentity", "the caller's credentials", e))?;
    Ok(Caller { account: answer.account.unwrap_or_default(), arn: answer.arn.unwrap_or_default() })
}

/// Reads all action types of bakeline.
///
/// # Errors
/// The call fails.
pub async fn action_types(aws: &Aws) -> Observed<Vec<ActionType>> {
    let call = aws.codepipeline.list_action_types().action_owner_filter(ActionOwner::Custom);
    let all = call.into_paginator().items().send().try_collect().await;
    let all = all.map_err(|e| AwsError::new("codepipeline:ListActionTypes", "owner Custom", e))?;
    let ours = all
        .into_iter()
        .filter(|found| found.id().is_some_and(|id| stage_of_provider(id.provider()).is_some()));
    Ok(ours
        .map(|found| ActionType {
            category: found.id().map(|id| id.category().as_str().to_owned()).unwrap_or_default(),
            provider: found.id().map(|id| id.provider().to_owned()).unwrap_or_default(),
            version: found.id().map(|id| id.version().to_owned()).unwrap_or_default(),
            inputs: found.input_artifact_details().map_or((0, 0), |d| (d.minimum_count(), d.maximum_count())),
            outputs: found
                .output_artifact_details()
                .map_or((0, 0), |d| (d.minimum_count(), d.maximum_count())),
            properties: found
                .action_configuration_properties()
                .iter()
                .map(|property| Property {
                    name: property.name().to_owned(),
                    required: property.required(),
                    queryable: property.queryable(),
                })
                .collect(),
        })
        .collect())
}

/// Reads the structure of a pipeline.
///
/// # Errors
/// The call fails.
pub async fn pipeline(aws: &Aws, name: &str) -> Observed<Option<Pipeline>> {
    let answer = aws.codepipeline.get_pipeline().name(name).send().await;
    let Some(answer) = found(answer.map_err(|e| AwsError::new("codepipeline:GetPipeline", name, e)))? else {
        return Ok(None);
    };
    let arn = answer.metadata.and_then(|metadata| metadata.pipeline_arn);
    Ok(answer.pipeline.map(|declared| declaration(&declared, arn)))
}

fn declaration(declared: &PipelineDeclaration, arn: Option<String>) -> Pipeline {
    let store = |store: &ArtifactStore, region: Option<&String>| Store {
        bucket: store.location().to_owned(),
        key: store.encryption_key().map(|key| key.id().to_owned()),
        region: region.cloned(),
    };
    let mut stores: Vec<Store> = declared.artifact_store().iter().map(|one| store(one, None)).collect();
    let by_region = declared.artifact_stores().into_iter().flatten();
    stores.extend(by_region.map(|(region, one)| store(one, Some(region))));
    let stages = declared.stages().iter().enumerate();
    let mut actions: Vec<Action> = stages
        .flat_map(|(at, stage)| stage.actions().iter().map(move |one| action(at, stage, one)))
        .collect();
    actions.sort_by_key(|action| action.order);
    Pipeline { arn, stores, actions }
}

fn action(at: usize, stage: &StageDeclaration, declared: &ActionDeclaration) -> Action {
    let id = declared.action_type_id();
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    Action {
        name: format!("{}/{}", stage.name(), declared.name()),
        category: text(id.map(|id| id.category().as_str())),
        owner: text(id.map(|id| id.owner().as_str())),
        provider: text(id.map(ActionTypeId::provider)),
        version: text(id.map(ActionTypeId::version)),
        configuration: declared
            .configuration()
            .into_iter()
            .flatten()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect(),
        inputs: declared.input_artifacts().iter().map(|artifact| artifact.name().to_owned()).collect(),
        outputs: declared.output_artifacts().iter().map(|artifact| artifact.name().to_owned()).collect(),
        region: declared.region().map(str::to_owned),
        // CodePipeline runs an action without a run order first in its stage.
        order: (at, declared.run_order().unwrap_or(1)),
    }
}

/// Reads the region of a bucket.
///
/// # Errors
/// The call fails.
pub async fn bucket(aws: &Aws, name: &str) -> Observed<Option<String>> {
    let answer = aws.artifacts(None).get_bucket_location().bucket(name).send().await;
    let answer = found(answer.map_err(|e| AwsError::new("s3:GetBucketLocation", name, e)))?;
    // S3 returns no location constraint for us-east-1, and EU for old buckets in eu-west-1.
    Ok(answer.map(|answer| match answer.location_constraint.as_ref().map(BucketLocationConstraint::as_str) {
        None | Some("") => "us-east-1".to_owned(),
        Some("EU") => "eu-west-1".to_owned(),
        Some(region) => region.to_owned(),
    }))
}

/// Reads a KMS key by id, alias or ARN.
///
/// # Errors
/// The call fails.
pub async fn key(aws: &Aws, name: &str) -> Observed<Option<Key>> {
    let answer = aws.kms.describe_key().key_id(name).send().await;
    let answer = found(answer.map_err(|e| AwsError::new("kms:DescribeKey", name, e)))?;
    Ok(answer.and_then(|answer| answer.key_metadata).map(|key| Key {
        state: key.key_state.map(|state| state.as_str().to_owned()).unwrap_or_default(),
        usage: key.key_usage.map(|usage| usage.as_str().to_owned()).unwrap_or_default(),
        arn: key.arn.unwrap_or(key.key_id),
    }))
}

/// Reads the status of an Image Builder pipeline.
///
/// # Errors
/// The call fails.
pub async fn image_pipeline(aws: &Aws, arn: &str) -> Observed<Option<String>> {
    let answer = aws.imagebuilder.get_image_pipeline().image_pipeline_arn(arn).send().await;
    let answer = found(answer.map_err(|e| AwsError::new("imagebuilder:GetImagePipeline", arn, e)))?;
    let found = answer.and_then(|answer| answer.image_pipeline);
    Ok(found.map(|pipeline| pipeline.status.map(|status| status.as_str().to_owned()).unwrap_or_default()))
}

/// Reads whether an ECR repository exists.
///
/// # Errors
/// The call fails.
pub async fn repository(aws: &Aws, name: &str) -> Observed<bool> {
    let answer = aws.ecr.describe_repositories().repository_names(name).send().await;
    let answer = found(answer.map_err(|e| AwsError::new("ecr:DescribeRepositories", name, e)))?;
    Ok(answer.is_some())
}

/// Reads the status of an ECS cluster.
///
/// # Errors
/// The call fails.
pub async fn cluster(aws: &Aws, name: &str) -> Observed<Option<String>> {
    let answer = aws.ecs.describe_clusters().clusters(name).send().await;
    let answer = answer.map_err(|e| AwsError::new("ecs:DescribeClusters", name, e))?;
    Ok(answer.clusters.and_then(|clusters| clusters.into_iter().next()?.status))
}

/// Reads an SSM parameter.
///
/// # Errors
/// The call fails.
pub async fn parameter(aws: &Aws, name: &str) -> Observed<Option<Parameter>> {
    let answer = aws.ssm.get_parameter().name(name).send().await;
    let answer = found(answer.map_err(|e| AwsError::new("ssm:GetParameter", name, e)))?;
    Ok(answer.and_then(|answer| answer.parameter).map(|found| Parameter {
        data_type: found.data_type.unwrap_or_else(|| "text".to_owned()),
        value: found.value.unwrap_or_default(),
    }))
}

/// Reads the VPCs of a subnet and of security groups.
///
/// # Errors
/// A call fails.
pub async fn network(aws: &Aws, subnet: &str, groups: &[String]) -> Observed<Network> {
    let answer = aws.ec2.describe_subnets().subnet_ids(subnet).send().await;
    let answer = found(answer.map_err(|e| AwsError::new("ec2:DescribeSubnets", subnet, e)))?;
    let vpc = answer.and_then(|answer| answer.subnets?.into_iter().next()?.vpc_id);
    let mut known = BTreeMap::new();
    // One call for each group: EC2 refuses a list with one unknown id as a whole.
    for group in groups {
        let answer = aws.ec2.describe_security_groups().group_ids(group).send().await;
        let answer = found(answer.map_err(|e| AwsError::new("ec2:DescribeSecurityGroups", group, e)))?;
        if let Some(vpc) = answer.and_then(|answer| answer.security_groups?.into_iter().next()?.vpc_id) {
            known.insert(group.clone(), vpc);
        }
    }
    Ok(Network { subnet: vpc, groups: known })
}

/// Reads whether the region offers an instance type.
///
/// # Errors
/// The call fails.
pub async fn instance_type(aws: &Aws, name: &str) -> Observed<bool> {
    let call = aws.ec2.describe_instance_types().instance_types(InstanceType::from(name));
    match call.send().await {
        Ok(answer) => Ok(!answer.instance_types().is_empty()),
        Err(error) if is(&error, "InvalidInstanceType") => Ok(false),
        Err(error) => Err(AwsError::new("ec2:DescribeInstanceTypes", name, error).into()),
    }
}

fn is<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>, code: &str) -> bool {
    error.as_service_error().and_then(ProvideErrorMetadata::code) == Some(code)
}
