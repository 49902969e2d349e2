//! A bucket of a foreign S3 server, on this machine's disk.

use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::{free_address, installed, try_http, until};

/// Running until it is dropped.
#[derive(Debug)]
pub struct Bucket {
    child: Child,
    url: String,
    /// Deleted when this is.
    _objects: TempDir,
}

impl Bucket {
    /// The bucket's name.
    pub const NAME: &str = "log";

    /// Starts the server with an empty bucket.
    ///
    /// # Panics
    /// If it was not installed, or does not start.
    #[must_use]
    pub fn start() -> Self {
        let (address, objects) = (free_address(), tempfile::tempdir().expect("a directory"));
        let port = address.rsplit(':').next().expect("a port");
        let child = Command::new("node")
            .arg(installed("node_modules/s3rver/bin/s3rver.js"))
            .args(["--address", "127.0.0.1", "--port", port, "--configure-bucket", Self::NAME])
            .arg("--directory")
            .arg(objects.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("Node starts");
        let bucket = Self { child, url: format!("http://{address}"), _objects: objects };
        let list = format!("{}/{}", bucket.url, Self::NAME);
        until("the S3 server answers", || {
            try_http("GET", &list, "").is_ok_and(|reply| reply.status == 200)
        });
        bucket
    }

    /// The settings by which a client finds it, and may write.
    #[must_use]
    pub fn environment(&self) -> [(&str, &str); 5] {
        [
            ("AWS_ENDPOINT_URL", &self.url),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "S3RVER"),
            ("AWS_SECRET_ACCESS_KEY", "S3RVER"),
        ]
    }

    /// An object, as anyone may read it.
    #[must_use]
    pub fn object(&self, key: &str) -> Option<Vec<u8>> {
        let reply = try_http("GET", &format!("{}/{}/{key}", self.url, Self::NAME), "").ok()?;
        (reply.status == 200).then_some(reply.body)
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        // Already ended is as good.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
