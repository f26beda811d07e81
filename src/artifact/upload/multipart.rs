//! Multipart upload of a large archive; a failed one is aborted.

use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, ServerSideEncryption};
use futures::stream::{StreamExt as _, TryStreamExt as _};

use super::{Unwritten, Upload, log_leftover};

/// How many parts are sent concurrently.
const CONCURRENCY: usize = 4;

impl Upload<'_> {
    /// Returns the `ETag`.
    pub(super) async fn multipart(&self) -> Result<String, Unwritten> {
        let id = self.begin().await?;
        let ended = match self.parts(&id).await {
            Ok(parts) => self.complete(&id, parts).await,
            Err(error) => Err(error),
        };
        if ended.is_err() {
            self.abort(&id).await;
        }
        ended
    }

    async fn begin(&self) -> Result<String, Unwritten> {
        const CALL: &str = "CreateMultipartUpload";
        let answer = self
            .s3
            .create_multipart_upload()
            .bucket(&self.to.bucket)
            .key(&self.to.key)
            .server_side_encryption(ServerSideEncryption::AwsKms)
            .set_ssekms_key_id(self.kms.map(str::to_owned))
            .content_type("application/zip")
            // S3 refuses parts with a checksum unless the upload names the algorithm.
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .send()
            .await
            .map_err(|error| Unwritten::of_call(error, self.to, CALL))?;
        answer.upload_id.ok_or_else(|| self.protocol(CALL, "no upload id"))
    }

    async fn parts(&self, id: &str) -> Result<Vec<CompletedPart>, Unwritten> {
        let (size, part) = (self.archive.size(), self.sizes.part);
        let offsets = (0..size.div_ceil(part)).map(|index| index * part);
        futures::stream::iter((1..).zip(offsets))
            .map(|(number, offset)| self.part(id, number, offset, part.min(size - offset)))
            .buffered(CONCURRENCY)
            .try_collect()
            .await
    }

    async fn part(&self, id: &str, number: i32, offset: u64, len: u64) -> Result<CompletedPart, Unwritten> {
        const CALL: &str = "UploadPart";
        let answer = self
            .s3
            .upload_part()
            .bucket(&self.to.bucket)
            .key(&self.to.key)
            .upload_id(id)
            .part_number(number)
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .body(self.bytes(offset, len).await?)
            .send()
            .await
            .map_err(|error| Unwritten::of_call(error, self.to, CALL))?;
        let etag = self.etag(answer.e_tag, CALL)?;
        let part = CompletedPart::builder().part_number(number).e_tag(etag);
        Ok(part.set_checksum_crc32(answer.checksum_crc32).build())
    }

    async fn complete(&self, id: &str, parts: Vec<CompletedPart>) -> Result<String, Unwritten> {
        const CALL: &str = "CompleteMultipartUpload";
        let answer = self
            .s3
            .complete_multipart_upload()
            .bucket(&self.to.bucket)
            .key(&self.to.key)
            .upload_id(id)
            .if_none_match("*")
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
            .send()
            .await
            .map_err(|error| Unwritten::of_call(error, self.to, CALL))?;
        self.etag(answer.e_tag, CALL)
    }

    async fn abort(&self, id: &str) {
        let abort = self.s3.abort_multipart_upload().bucket(&self.to.bucket).key(&self.to.key).upload_id(id);
        if let Err(error) = abort.send().await {
            let gone = error.raw_response().is_some_and(|response| response.status().as_u16() == 404);
            if !gone {
                log_leftover(self.to, id, &error.into());
            }
        }
    }
}
