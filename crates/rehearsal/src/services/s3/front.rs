//! The S3 trait of s3s. Each method collects the body first, then changes the world under one lock.

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
#[allow(
    clippy::wildcard_imports,
    reason = "s3s has an input and an output structure for every operation"
)]
use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};

use super::super::super::world::World;
use super::{Bucket, View, listing, multipart, object};

/// S3 for one request.
pub(super) struct Front {
    pub view: View,
    pub account: String,
    pub region: String,
}

impl Front {
    fn act<T>(&self, visit: impl FnOnce(&mut World) -> S3Result<T>) -> S3Result<T> {
        self.view.with(visit)
    }
}

/// Collects the body; a single chunk is not copied.
async fn collected(body: Option<StreamingBlob>) -> S3Result<Bytes> {
    let Some(mut body) = body else { return Ok(Bytes::new()) };
    let mut all = match body.next().await {
        None => return Ok(Bytes::new()),
        Some(first) => first.map_err(|_| s3_error!(IncompleteBody))?,
    };
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|_| s3_error!(IncompleteBody))?;
        let mut joined = BytesMut::from(all);
        joined.extend_from_slice(&piece);
        all = joined.freeze();
    }
    Ok(all)
}

type Reply<T> = S3Result<S3Response<T>>;

#[async_trait::async_trait]
impl S3 for Front {
    async fn put_object(&self, mut req: S3Request<PutObjectInput>) -> Reply<PutObjectOutput> {
        let body = collected(req.input.body.take()).await?;
        self.act(|world| object::put(world, &req.input, body)).map(S3Response::new)
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> Reply<GetObjectOutput> {
        self.act(|world| object::get(world, &req.input)).map(S3Response::new)
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> Reply<HeadObjectOutput> {
        self.act(|world| object::head(world, &req.input)).map(S3Response::new)
    }

    async fn copy_object(&self, req: S3Request<CopyObjectInput>) -> Reply<CopyObjectOutput> {
        self.act(|world| object::copy(world, &req.input)).map(S3Response::new)
    }

    async fn delete_object(&self, req: S3Request<DeleteObjectInput>) -> Reply<DeleteObjectOutput> {
        self.act(|world| object::delete(world, &req.input))?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(&self, req: S3Request<DeleteObjectsInput>) -> Reply<DeleteObjectsOutput> {
        let quiet = req.input.delete.quiet.unwrap_or_default();
        let mut output = DeleteObjectsOutput::default();
        let deleted = self.act(|world| {
            let bucket = object::bucket_mut(world, &req.input.bucket)?;
            let removed = req.input.delete.objects.iter().map(|id| {
                bucket.objects.remove(&id.key);
                DeletedObject { key: Some(id.key.clone()), ..DeletedObject::default() }
            });
            Ok(removed.collect::<Vec<_>>())
        })?;
        output.deleted = (!quiet).then_some(deleted);
        Ok(S3Response::new(output))
    }

    async fn list_objects_v2(&self, req: S3Request<ListObjectsV2Input>) -> Reply<ListObjectsV2Output> {
        self.act(|world| listing::objects(world, &req.input)).map(S3Response::new)
    }

    async fn list_buckets(&self, _req: S3Request<ListBucketsInput>) -> Reply<ListBucketsOutput> {
        Ok(S3Response::new(self.view.with(|world| listing::buckets(world))))
    }

    async fn create_bucket(&self, req: S3Request<CreateBucketInput>) -> Reply<CreateBucketOutput> {
        let name = req.input.bucket;
        self.act(|world| {
            if world.s3.buckets.contains_key(&name) {
                return Err(s3_error!(
                    BucketAlreadyOwnedByYou,
                    "Your previous request to create the named bucket succeeded and you already own it."
                ));
            }
            let bucket = Bucket::new(&self.account, &self.region, world.now);
            world.s3.buckets.insert(name.clone(), bucket);
            Ok(())
        })?;
        let output = CreateBucketOutput { location: Some(format!("/{name}")) };
        Ok(S3Response::new(output))
    }

    async fn delete_bucket(&self, req: S3Request<DeleteBucketInput>) -> Reply<DeleteBucketOutput> {
        self.act(|world| {
            let bucket = object::bucket_mut(world, &req.input.bucket)?;
            if !bucket.objects.is_empty() {
                return Err(s3_error!(BucketNotEmpty, "The bucket you tried to delete is not empty"));
            }
            world.s3.buckets.remove(&req.input.bucket);
            Ok(())
        })?;
        Ok(S3Response::new(DeleteBucketOutput::default()))
    }

    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> Reply<HeadBucketOutput> {
        let region = self.act(|world| Ok(object::bucket_mut(world, &req.input.bucket)?.region.clone()))?;
        let output = HeadBucketOutput { bucket_region: Some(region), ..HeadBucketOutput::default() };
        Ok(S3Response::new(output))
    }

    async fn get_bucket_location(
        &self,
        req: S3Request<GetBucketLocationInput>,
    ) -> Reply<GetBucketLocationOutput> {
        let region = self.act(|world| Ok(object::bucket_mut(world, &req.input.bucket)?.region.clone()))?;
        // Only us-east-1 has no location constraint.
        let constraint = (region != "us-east-1").then(|| BucketLocationConstraint::from(region));
        Ok(S3Response::new(GetBucketLocationOutput { location_constraint: constraint }))
    }

    async fn get_bucket_versioning(
        &self,
        req: S3Request<GetBucketVersioningInput>,
    ) -> Reply<GetBucketVersioningOutput> {
        self.act(|world| object::bucket_mut(world, &req.input.bucket).map(|_| ()))?;
        Ok(S3Response::new(GetBucketVersioningOutput::default()))
    }

    async fn get_bucket_policy(&self, req: S3Request<GetBucketPolicyInput>) -> Reply<GetBucketPolicyOutput> {
        let name = &req.input.bucket;
        let (require_kms, partition) = self.act(|world| {
            let bucket = object::bucket_mut(world, name)?;
            Ok((bucket.require_kms, crate::partition::id(&bucket.region)))
        })?;
        if !require_kms {
            return Err(s3_error!(NoSuchBucketPolicy, "The bucket policy does not exist"));
        }
        let policy = serde_json::json!({"Version": "2012-10-17", "Statement": [{
            "Sid": "DenyUnEncryptedObjectUploads", "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject",
            "Resource": format!("arn:{partition}:s3:::{name}/*"),
            "Condition": {"StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"}},
        }]});
        Ok(S3Response::new(GetBucketPolicyOutput { policy: Some(policy.to_string()) }))
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> Reply<CreateMultipartUploadOutput> {
        self.act(|world| multipart::create(world, &req.input)).map(S3Response::new)
    }

    async fn upload_part(&self, mut req: S3Request<UploadPartInput>) -> Reply<UploadPartOutput> {
        let body = collected(req.input.body.take()).await?;
        self.act(|world| multipart::upload_part(world, &req.input, body)).map(S3Response::new)
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> Reply<CompleteMultipartUploadOutput> {
        self.act(|world| multipart::complete(world, &req.input)).map(S3Response::new)
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> Reply<AbortMultipartUploadOutput> {
        let input = &req.input;
        self.act(|world| multipart::abort(world, &input.bucket, &input.key, &input.upload_id))?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    async fn list_parts(&self, req: S3Request<ListPartsInput>) -> Reply<ListPartsOutput> {
        self.act(|world| multipart::parts(world, &req.input)).map(S3Response::new)
    }

    async fn list_multipart_uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> Reply<ListMultipartUploadsOutput> {
        self.act(|world| multipart::uploads(world, &req.input)).map(S3Response::new)
    }
}
