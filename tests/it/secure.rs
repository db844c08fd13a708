//! The way that every real site is reached: TLS, and HTTP/2 within it. A door with a certificate of its own stands in
//! front of the emulator, which speaks neither.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{Request, Response, Version, header};
use axum::serve::Listener;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::close::write_and_close;
use crate::stage::{FOLDER, Stage, noise, run, sh, told};

/// What came through the door.
#[derive(Default)]
struct Seen {
    versions: Mutex<Vec<Version>>,
    connections: AtomicUsize,
}

/// A door with TLS in front of a site or its storage; it closes with this value.
struct Secure {
    port: u16,
    seen: Arc<Seen>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Drop for Secure {
    fn drop(&mut self) {
        self.runtime.take().into_iter().for_each(tokio::runtime::Runtime::shutdown_background);
    }
}

struct Accepting {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    seen: Arc<Seen>,
}

impl Listener for Accepting {
    type Io = TlsStream<TcpStream>;
    type Addr = ();

    async fn accept(&mut self) -> (Self::Io, ()) {
        loop {
            let Ok((stream, _)) = self.listener.accept().await else { continue };
            // Whoever does not trust the certificate goes away in the middle.
            let Ok(stream) = self.acceptor.accept(stream).await else { continue };
            self.seen.connections.fetch_add(1, Ordering::Relaxed);
            return (stream, ());
        }
    }

    fn local_addr(&self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Passes a request on to the emulator, and its answer back.
async fn pass(
    State((site, client, seen)): State<(String, reqwest::Client, Arc<Seen>)>,
    request: Request<Body>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    seen.versions.lock().unwrap().push(head.version);
    let target = head.uri.path_and_query().unwrap().as_str();
    let mut headers = head.headers;
    headers.remove(header::HOST);
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let sent =
        client.request(head.method, format!("{site}{target}")).headers(headers).body(body).send().await;
    let answer = sent.expect("the emulator answers");
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers().iter().filter(|(name, _)| **name != header::TRANSFER_ENCODING) {
        response = response.header(name, value);
    }
    response.body(Body::from(answer.bytes().await.unwrap())).unwrap()
}

/// A certificate for this host, and the authority that vouches for it: `ca.pem`, `cert.pem` and `key.pem` in `folder`.
fn certify(folder: &Path) {
    fs::create_dir(folder).unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    sh(&format!(
        "exec 2>&1; cd {}
         openssl req -x509 {key} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem
         openssl req {key} -subj /CN=localhost -keyout key.pem -out request.pem
         echo subjectAltName=DNS:localhost,DNS:files.invalid > names
         openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out cert.pem",
        folder.display()
    ));
}

impl Secure {
    /// In front of what listens at `behind`.
    fn in_front_of(behind: String, certificates: &Path) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let chain = CertificateDer::pem_file_iter(certificates.join("cert.pem")).unwrap().map(Result::unwrap);
        let key = PrivateKeyDer::from_pem_file(certificates.join("key.pem")).unwrap();
        let mut config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain.collect(), key)
            .expect("the certificate and its key belong together");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let seen = Arc::new(Seen::default());
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let routes = Router::new().fallback(pass).with_state((behind, client, seen.clone()));
        let listener = Accepting { listener, acceptor, seen: seen.clone() };
        runtime.spawn(async move { axum::serve(listener, routes).await });
        Self { port, seen, runtime: Some(runtime) }
    }
}

/// A site and its storage, each behind a door of its own, and the folder of the authority that vouches for both.
fn secured() -> (Stage, PathBuf, Secure, Secure) {
    let stage = Stage::new();
    let certificates = stage.path("certificates");
    certify(&certificates);
    let door = Secure::in_front_of(stage.site.base_url(), &certificates);
    let mut storage = String::new();
    stage.site.change(|site| storage = format!("http://{}", site.storage_listen));
    let storage = Secure::in_front_of(storage, &certificates);
    stage.site.change(|site| site.storage_url = Some(format!("https://localhost:{}", storage.port)));
    (stage, certificates, door, storage)
}

/// A proxy that digs tunnels, all of them to this host, and tells for whom it was asked.
fn tunnels(runtime: &tokio::runtime::Runtime) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let told = asked.clone();
    runtime.spawn(async move {
        while let Ok((mut inner, _)) = listener.accept().await {
            let told = told.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(inner.read_u8().await?);
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let target =
                    head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
                told.lock().unwrap().push(target.to_owned());
                let port: u16 =
                    target.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or_default();
                let mut outer = TcpStream::connect(("127.0.0.1", port)).await?;
                inner.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
                tokio::io::copy_bidirectional(&mut inner, &mut outer).await
            });
        }
    });
    (address, asked)
}

#[test]
fn behind_a_proxy_the_site_is_reached_through_a_tunnel() {
    let (stage, certificates, door, _storage) = secured();
    let (proxy, asked) = tunnels(door.runtime.as_ref().unwrap());
    let point = stage.path("mnt");
    fs::create_dir(&point).unwrap();
    let mut command = stage.filescomfs(["mount", "--cache-dir"]);
    command
        .arg(stage.path("state"))
        .arg(format!("https://files.invalid:{}:/{FOLDER}", door.port))
        .arg(&point);
    command.env("SSL_CERT_FILE", certificates.join("ca.pem")).env_remove("SSL_CERT_DIR");
    command.env("HTTPS_PROXY", proxy).env("NO_PROXY", "localhost");
    run(&mut command);
    write_and_close(&point.join("f"), b"through a tunnel").unwrap();
    assert_eq!(stage.stored("f").unwrap(), b"through a tunnel");
    run(stage.filescomfs(["umount"]).arg(&point));
    let asked = asked.lock().unwrap();
    let site = format!("files.invalid:{}", door.port);
    assert!(!asked.is_empty() && asked.iter().all(|target| *target == site), "{asked:?}");
}

#[test]
fn a_site_is_reached_by_tls_and_http_2_and_only_with_a_certificate_that_is_trusted() {
    let (stage, certificates, door, storage) = secured();
    let point = stage.path("mnt");
    fs::create_dir(&point).unwrap();
    let mount = |host: &str, trusted: bool| {
        let mut command = stage.filescomfs(["mount", "--network-timeout", "20s", "--cache-dir"]);
        command.arg(stage.path("state")).arg(format!("https://{host}:{}:/{FOLDER}", door.port)).arg(&point);
        command.env_remove("SSL_CERT_DIR").env_remove("SSL_CERT_FILE");
        if trusted {
            command.env("SSL_CERT_FILE", certificates.join("ca.pem"));
        }
        command.output().unwrap()
    };
    // Nobody vouches for it; then somebody does, for another name.
    for (host, trusted) in [("localhost", false), ("127.0.0.1", true)] {
        let refused = mount(host, trusted);
        assert_eq!(refused.status.code(), Some(4), "{host}: {}", told(&refused));
        assert!(told(&refused).contains("certificate"), "{host}: {}", told(&refused));
    }
    assert_eq!(door.seen.versions.lock().unwrap().len(), 0, "a key was sent to somebody who is not trusted");

    let mounted = mount("localhost", true);
    assert!(mounted.status.success(), "{}", told(&mounted));
    let before = door.seen.connections.load(Ordering::Relaxed);
    std::thread::scope(|scope| {
        for n in 0..8 {
            let path = point.join(format!("{n}"));
            scope.spawn(move || write_and_close(&path, &noise(n, 10_000)).unwrap());
        }
    });
    for n in 0..8 {
        assert_eq!(stage.stored(&format!("{n}")).unwrap(), noise(n, 10_000));
    }
    run(stage.filescomfs(["umount"]).arg(&point));
    let versions = door.seen.versions.lock().unwrap();
    assert!(
        versions.len() >= 16 && versions.iter().all(|version| *version == Version::HTTP_2),
        "{versions:?}"
    );
    let made = door.seen.connections.load(Ordering::Relaxed) - before;
    assert!(made <= 1, "{made} more connections, where all requests share one");
    // Transfers have a connection each: one for all would be as slow as one.
    let versions = storage.seen.versions.lock().unwrap();
    assert!(
        versions.len() >= 8 && versions.iter().all(|version| *version == Version::HTTP_11),
        "{versions:?}"
    );
}
