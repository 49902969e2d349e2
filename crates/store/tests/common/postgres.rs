//! A real PostgreSQL, from the system's package, for as long as a test runs.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::Duration;

use tempfile::TempDir;
use vouch_store::{Config, Database, FileTiles, PostgresStore, Result};

/// `nobody`: PostgreSQL refuses to run as root.
const NOBODY: u32 = 65_534;
/// PostgreSQL's own: without TLS only in the name of a socket.
const PORT: u16 = 5432;

pub struct Server {
    dir: TempDir,
    programs: PathBuf,
    postmaster: Child,
    /// Of its socket; with TLS it listens there, too.
    port: u16,
    tls: bool,
    schemas: AtomicU32,
}

/// One database schema, in which one log fits.
pub struct Schema {
    url: String,
    name: String,
    socket: PathBuf,
    port: u16,
    programs: PathBuf,
    log: TempDir,
}

impl Server {
    /// On a socket in a temporary directory, so that no port is taken.
    pub fn start() -> Self {
        Self::start_with(PORT, false)
    }

    /// On a port of this machine, too, for whoever trusts [`Self::certificate`].
    pub fn start_with_tls() -> Self {
        // Free again once its number is known.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self::start_with(port, true)
    }

    fn start_with(port: u16, tls: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let programs = programs();
        if is_root() {
            chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let data = dir.path().join("data");
        let mut init = unprivileged(&programs.join("initdb"), dir.path());
        init.args(["--username=vouch", "--auth=trust", "--no-sync", "--encoding=UTF8"]);
        init.args(["--locale=C", "--pgdata"]).arg(&data);
        let output = init.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut settings = format!("port = {port}\nlisten_addresses = ''\n");
        if tls {
            let mut certify = unprivileged(Path::new("openssl"), dir.path());
            certify.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
            certify.args(["-nodes", "-days", "2", "-subj", "/CN=localhost"]);
            certify.args(["-addext", "subjectAltName=DNS:localhost"]);
            certify.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
            certify.args(["-keyout", "data/server.key", "-out", "data/server.crt"]);
            let output = certify.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            settings = format!("port = {port}\nlisten_addresses = '127.0.0.1'\nssl = on\n");
        }
        fs::write(data.join("postgresql.auto.conf"), settings).unwrap();
        let postmaster = postmaster(&programs, dir.path());
        let server = Self { dir, programs, postmaster, port, tls, schemas: AtomicU32::new(0) };
        server.ready();
        server
    }

    fn ready(&self) {
        for _ in 0..600 {
            if self.psql("SELECT 1").is_ok() {
                return;
            }
            sleep(Duration::from_millis(50));
        }
        let log = fs::read_to_string(self.dir.path().join("server.log"));
        panic!("PostgreSQL does not start: {}", log.unwrap_or_default());
    }

    /// Kills the server as a crash of its machine would, but for what the system has buffered, and
    /// starts it again.
    pub fn kill(&mut self) {
        self.postmaster.kill().unwrap();
        self.postmaster.wait().unwrap();
        // Its children see that it is gone and end; until then the data is locked.
        for _ in 0..100 {
            self.postmaster = postmaster(&self.programs, self.dir.path());
            sleep(Duration::from_millis(300));
            if self.postmaster.try_wait().unwrap().is_none() {
                return self.ready();
            }
        }
        panic!("PostgreSQL does not start again");
    }

    /// Its certificate, which nobody has signed but itself.
    pub fn certificate(&self) -> PathBuf {
        self.dir.path().join("data/server.crt")
    }

    fn psql(&self, sql: &str) -> std::result::Result<String, String> {
        psql(&self.programs, self.dir.path(), self.port, "public", sql)
    }

    pub fn schema(&self) -> Schema {
        let name = format!("test{}", self.schemas.fetch_add(1, Ordering::Relaxed));
        self.psql(&format!("CREATE SCHEMA {name}")).unwrap();
        let socket = self.dir.path().display().to_string().replace('/', "%2F");
        let (host, with) = match self.tls {
            true => (format!("localhost:{}", self.port), "sslmode=require&"),
            false => (socket, ""),
        };
        let url =
            format!("postgres://vouch:secret@{host}/postgres?{with}options=-csearch_path%3D{name}");
        Schema {
            url,
            name,
            socket: self.dir.path().to_owned(),
            port: self.port,
            programs: self.programs.clone(),
            log: tempfile::tempdir().unwrap(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut stop = unprivileged(&self.programs.join("pg_ctl"), self.dir.path());
        stop.args(["stop", "--mode=immediate", "--pgdata"]).arg(self.dir.path().join("data"));
        if !stop.output().is_ok_and(|output| output.status.success()) {
            self.postmaster.kill().unwrap_or_default();
        }
        drop(self.postmaster.wait());
    }
}

impl Schema {
    /// With its password, for `vouch serve --store`.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn database(&self) -> Database {
        Database::parse(&self.url).unwrap()
    }

    pub fn open(&self, config: Config) -> Result<PostgresStore> {
        self.open_with(self.database(), config)
    }

    pub fn open_with(&self, database: Database, config: Config) -> Result<PostgresStore> {
        let tiles = Arc::new(FileTiles::open(&self.log()).unwrap());
        PostgresStore::open(database, tiles, config)
    }

    pub fn log(&self) -> PathBuf {
        self.log.path().join("log")
    }

    /// What PostgreSQL's own client answers: nothing of ours is in between.
    pub fn ask(&self, sql: &str) -> String {
        psql(&self.programs, &self.socket, self.port, &self.name, sql).unwrap()
    }

    pub fn count(&self, sql: &str) -> u64 {
        self.ask(sql).parse().unwrap()
    }
}

fn postmaster(programs: &Path, dir: &Path) -> Child {
    let log = fs::OpenOptions::new().create(true).append(true).open(dir.join("server.log"));
    unprivileged(&programs.join("postgres"), dir)
        .arg("-D")
        .arg(dir.join("data"))
        .arg("-k")
        .arg(dir)
        .args(["-c", "max_connections=50", "-c", "max_wal_size=4GB"])
        .stderr(log.unwrap())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn psql(
    programs: &Path,
    socket: &Path,
    port: u16,
    schema: &str,
    sql: &str,
) -> std::result::Result<String, String> {
    let output = Command::new(programs.join("psql"))
        .arg("--host")
        .arg(socket)
        .args(["--port", &port.to_string()])
        .args(["--username=vouch", "--no-psqlrc", "--tuples-only", "--no-align", "--command", sql])
        .arg("postgres")
        .env("PGOPTIONS", format!("-csearch_path={schema}"))
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// A program that runs as `nobody`, if the test runs as root.
fn unprivileged(program: &Path, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir).env_remove("PGDATA").stdin(Stdio::null());
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// The newest installed server's programs.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|version| {
            let number = version.file_name().to_str()?.parse().ok()?;
            Some((number, version.path().join("bin")))
        })
        .filter(|(_, programs)| programs.join("postgres").exists())
        .collect();
    found.sort();
    let elsewhere = ["/usr/local/bin", "/usr/bin"].map(PathBuf::from);
    let elsewhere = elsewhere.into_iter().find(|programs| programs.join("initdb").exists());
    let found = found.pop().map(|(_, programs)| programs).or(elsewhere);
    found.expect("PostgreSQL is installed: apt-get install postgresql")
}
