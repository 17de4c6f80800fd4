use super::*;

fn file(memory: &Memory, path: &str) -> Arc<dyn File> {
    memory.create_dir_all(Path::new("/d")).unwrap();
    memory.open(Path::new(path), Open::Create).unwrap()
}

fn read(memory: &Memory, path: &str) -> Option<Vec<u8>> {
    let file = memory.open(Path::new(path), Open::Existing).ok()?;
    let mut out = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut out).unwrap();
    Some(out)
}

#[test]
fn what_was_synced_survives_every_cut_and_what_was_not_only_some() {
    let memory = Memory::new();
    let kept = file(&memory, "/d/kept");
    kept.write_at(0, &[1; 2000]).unwrap();
    kept.sync().unwrap();
    for dir in ["/", "/d"] {
        memory.sync_dir(Path::new(dir)).unwrap();
    }
    kept.write_at(0, &[2; 2000]).unwrap();
    file(&memory, "/d/young").write_at(0, &[3; 10]).unwrap();
    let cuts: Vec<_> = (0..50).map(|seed| memory.power_cut(seed)).collect();
    let contents: BTreeSet<_> = cuts.iter().map(|cut| read(cut, "/d/kept").unwrap()).collect();
    assert!(contents.iter().all(|bytes| bytes.len() == 2000 && bytes.iter().all(|b| [1, 2].contains(b))));
    assert!(contents.contains(&vec![1; 2000]) && contents.contains(&vec![2; 2000]) && contents.len() > 2);
    let young = cuts.iter().filter(|cut| read(cut, "/d/young").is_some()).count();
    assert!((1..50).contains(&young));
    let killed = memory.killed();
    assert_eq!(read(&killed, "/d/young"), Some(vec![3; 10]));
    for seed in 0..50 {
        let (at_once, later) = (memory.power_cut(seed), killed.power_cut(seed));
        assert_eq!(read(&at_once, "/d/kept"), read(&later, "/d/kept"));
        assert_eq!(read(&at_once, "/d/young"), read(&later, "/d/young"));
    }
}

#[test]
fn an_intercepted_operation_fails_without_effect() {
    let memory = Memory::new();
    let some = file(&memory, "/d/f");
    some.write_at(0, b"a").unwrap();
    memory.intercept(|operation, _| match operation {
        Operation::Write => Err(io::Error::from_raw_os_error(libc::EIO)),
        _ => Ok(()),
    });
    assert_eq!(some.write_at(0, b"b").unwrap_err().raw_os_error(), Some(libc::EIO));
    assert_eq!(read(&memory, "/d/f"), Some(b"a".to_vec()));
    memory.intercept(|operation, _| match operation {
        Operation::Write => Err(io::ErrorKind::WriteZero.into()),
        _ => Ok(()),
    });
    assert!(some.write_at(0, b"1234").is_err());
    assert_eq!(read(&memory, "/d/f"), Some(b"12".to_vec()));
}

#[test]
fn what_a_failed_sync_left_unwritten_no_other_writes() {
    let memory = Memory::new();
    let some = file(&memory, "/d/f");
    some.set_len(2048).unwrap();
    some.sync().unwrap();
    for dir in ["/", "/d"] {
        memory.sync_dir(Path::new(dir)).unwrap();
    }
    some.write_at(0, b"given up").unwrap();
    memory.intercept(|operation, _| match operation {
        Operation::Sync => Err(io::Error::from_raw_os_error(libc::EIO)),
        _ => Ok(()),
    });
    assert!(some.sync().is_err());
    memory.intercept(|_, _| Ok(()));
    some.write_at(1024, b"later").unwrap();
    some.sync().unwrap();
    assert_eq!(read(&memory, "/d/f").unwrap()[..5], *b"given");
    // No seed keeps what is not synced for sure; all keep what is.
    let cuts: Vec<_> = (0..20).map(|seed| read(&memory.power_cut(seed), "/d/f").unwrap()).collect();
    assert!(cuts.iter().all(|cut| cut[1024..1029] == *b"later"));
    assert!(cuts.iter().any(|cut| cut[..5] == [0; 5]));
}

#[test]
fn a_mapping_and_the_file_are_the_same_bytes() {
    let memory = Memory::new();
    let some = file(&memory, "/d/f");
    some.set_len(4096).unwrap();
    let (mapping, mut writer) = some.map(4096, 0).unwrap();
    writer.write(10, b"through the mapping");
    some.write_at(0, b"directly").unwrap();
    writer.publish(20);
    assert_eq!(mapping.view(0, 8), Some(&b"directly"[..]));
    assert_eq!(read(&memory, "/d/f").unwrap()[10..17], *b"through");
    assert_eq!(some.next_data(9).unwrap(), Some(10));
    assert!(memory.lock(Path::new("/d/f")).unwrap().is_some());
    // As on a real disk, and as two threads do that make the same file.
    some.set_len(4096).unwrap();
    writer.write(30, b"still");
    assert_eq!(read(&memory, "/d/f").unwrap()[30..35], *b"still");
    assert!(some.set_len(4097).is_err() && some.write_at(4096, b"x").is_err());
    drop((mapping, writer));
    some.set_len(4097).unwrap();
}
