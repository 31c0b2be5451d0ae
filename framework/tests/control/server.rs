//! The socket and its conversations as they should be.

use super::*;
use asa_framework::control::ServeError;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().permissions().mode() & 0o777
}

async fn refused(path: &Path) -> ServeError {
    let Err(error) = serve(path, &Tree::with(true, None), Node::default().handler()).await else { panic!("it serves") };
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    error
}

#[test]
fn many_requests_go_over_one_connection_in_order() {
    run(false, async {
        let place = Place::new().await;
        let mut client = place.client().await;
        for _ in 0..3 {
            client.works().await;
        }
        assert_eq!(client.fails(&describe("nobody")).await, Failure::new(FailureCode::Unknown, "no such instance"));
        // Two at once are answered one after the other.
        client.send(&format!("{}\n{STATUS}", describe("nobody"))).await;
        assert!(client.reply().await.unwrap().error.is_some());
        assert!(client.reply().await.unwrap().ok.is_some());
        let asked = r#"{"version":1,"command":"drill","role":"pool","fault":"store-error","count":2}"#;
        client.ask(asked).await;
        let last = place.node.0.borrow().last().cloned();
        let expected =
            Command::Drill { role: "pool".to_owned(), fault: supervision::Fault::StoreError, instance: None, count: 2 };
        assert_eq!(last, Some(expected));
        assert_eq!((place.count("connections"), place.count("requests")), (1, 7));
    });
}

#[test]
fn socket_and_directory_are_for_their_owner_alone() {
    run(false, async {
        let place = Place::new().await;
        assert_eq!((mode(&place.path()), mode(place.path().parent().unwrap())), (0o600, 0o700));
        assert_eq!(place.server.path(), place.path());
    });
}

/// The mode is there as soon as the file is: nothing is mended afterwards, whatever the mask of the process.
#[test]
fn the_socket_is_never_open_to_others_for_a_moment() {
    run(false, async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sock");
        let (looking, done) = (path.clone(), std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)));
        let until = done.clone();
        let watcher = std::thread::spawn(move || {
            let (mut modes, mut looks) = (std::collections::BTreeSet::new(), 0u64);
            while !until.load(std::sync::atomic::Ordering::Relaxed) {
                looks += 1;
                modes.extend(looking.symlink_metadata().map(|file| file.mode() & 0o777));
            }
            (modes, looks)
        });
        for _ in 0..200 {
            let server = serve(&path, &Tree::with(true, None), Node::default().handler()).await.unwrap();
            server.stop().await;
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        let (modes, looks) = watcher.join().unwrap();
        assert_eq!(modes.into_iter().collect::<Vec<_>>(), [0o600], "in {looks} looks");
    });
}

#[test]
fn a_stale_socket_is_replaced() {
    run(false, async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "nobody has removed it");
        let node = Node::default();
        let _server = serve(&path, &Tree::with(true, None), node.handler()).await.unwrap();
        Client::new(&path).await.works().await;
        assert_eq!((node.heard(), mode(&path)), (1, 0o600));
    });
}

#[test]
fn a_live_socket_is_left_alone() {
    run(false, async {
        let place = Place::new().await;
        let error = refused(&place.path()).await;
        assert!(matches!(error, ServeError::Live(_)));
        assert!(error.to_string().contains("another node of this name is running"), "{error}");
        place.client().await.works().await;
    });
}

/// A node that is too busy to take connections is alive all the same.
#[test]
fn a_full_socket_is_a_live_one() {
    run(false, async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sock");
        let _busy = UnixListener::bind(&path).unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = UnixStream::connect(&path).await {
            waiting.push(stream);
            assert!(waiting.len() < 100_000, "the backlog never fills");
        }
        assert!(matches!(refused(&path).await, ServeError::Live(_)));
    });
}

#[test]
fn what_is_no_socket_is_not_replaced() {
    run(false, async {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("a.sock"), directory.path().join("b.sock"));
        std::fs::write(&file, "mine").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        for path in [&file, &link] {
            assert!(matches!(refused(path).await, ServeError::NotASocket(_)));
        }
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    });
}

#[test]
fn a_path_that_cannot_be_made_says_so() {
    run(false, async {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("file"), "").unwrap();
        let error = refused(&directory.path().join("file/a.sock")).await;
        assert!(error.to_string().contains("cannot make its directory"), "{error}");
        let error = refused(&directory.path().join("x".repeat(120))).await;
        assert!(error.to_string().contains("cannot make a socket"), "{error}");
    });
}

#[test]
fn of_several_that_start_together_one_serves() {
    for _ in 0..20 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sock");
        drop(UnixListener::bind(&path).unwrap());
        let barrier = std::sync::Barrier::new(4);
        let start = || {
            let mut outcome = None;
            run(false, async {
                barrier.wait();
                let started = serve(&path, &Tree::with(true, None), Node::default().handler()).await;
                // Nobody ends before all have tried.
                barrier.wait();
                outcome = Some(started.map(drop));
            });
            outcome.unwrap()
        };
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
        let refusals = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
        assert!(refusals.into_iter().all(|error| matches!(error, ServeError::Live(_))), "{outcomes:?}");
    }
}

/// What makes the last test true at every moment: from looking at a socket to replacing it, a node has the directory to itself.
#[test]
fn a_start_waits_for_another_in_the_same_directory() {
    run(true, async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sock");
        let other = std::fs::File::open(directory.path()).unwrap();
        rustix::fs::flock(&other, rustix::fs::FlockOperation::LockExclusive).unwrap();
        let tree = Tree::with(true, None);
        let start = || serve(&path, &tree, Node::default().handler());
        let Err(error) = start().await else { panic!("it serves") };
        assert!(matches!(error, ServeError::Starting(_)), "{error}");
        assert!(!path.exists());
        let goes = async {
            sleep(Duration::from_secs(1)).await;
            drop(other);
        };
        let (server, ()) = tokio::join!(start(), goes);
        Client::new(server.unwrap().path()).await.works().await;
    });
}

#[test]
fn the_socket_goes_with_its_server_unless_it_is_anothers() {
    run(false, async {
        let place = Place::new().await;
        let path = place.path();
        let mut client = place.client().await;
        client.works().await;
        place.server.stop().await;
        assert!(!path.exists());
        assert_eq!(client.reply().await, None, "its connections are closed");
        let server = serve(&path, &place.tree, place.node.handler()).await.unwrap();
        drop(server);
        assert!(!path.exists());
        // Somebody has removed the socket and put another one there.
        let server = serve(&path, &place.tree, place.node.handler()).await.unwrap();
        std::fs::remove_file(&path).unwrap();
        let other = UnixListener::bind(&path).unwrap();
        server.stop().await;
        assert!(path.exists());
        drop(other);
    });
}

/// The guarantees of supervision hold here: a failed acceptor is back on the same socket, with its connections gone.
#[test]
fn the_socket_survives_a_restart_of_its_acceptor() {
    run(true, async {
        let place = Place::new().await;
        let mut before = place.client().await;
        before.works().await;
        assert!(place.tree.arm("control", "acceptor", supervision::Fault::Panic, 1));
        assert!(place.tree.nudge("control", "acceptor"));
        assert_eq!(before.reply().await, None);
        place.client().await.works().await;
        let status = place.tree.status();
        let acceptor = status.iter().find(|child| child.role == "acceptor").unwrap();
        assert_eq!((acceptor.asa.as_str(), acceptor.life, acceptor.restarts), ("control", 2, 1));
    });
}
