import java.nio.file.Path;

import net.openhft.chronicle.bytes.Bytes;
import net.openhft.chronicle.queue.ChronicleQueue;
import net.openhft.chronicle.queue.ExcerptAppender;
import net.openhft.chronicle.queue.ExcerptTailer;

/**
 * Chronicle Queue in the cases of core/benches/appender.rs and embedded.rs: one thread appends bodies of 128 bytes and of 1 KiB for so
 * long, then reads them from the first on. Default settings: like FerroMQ's ASYNC_FLUSH, what is appended is in the page
 * cache. Prints a case, its messages a second and its megabytes per line.
 */
public final class Bench {
    public static void main(String[] args) {
        Path dir = Path.of(args[0]);
        long time = (long) (Double.parseDouble(args[1]) * 1e9);
        // The first round warms the virtual machine up and prints nothing.
        for (String round : new String[] {"warm", ""}) {
            bench(dir.resolve(round + "128"), "128", 128, time, round.isEmpty());
            bench(dir.resolve(round + "1k"), "1k", 1024, time, round.isEmpty());
        }
        System.exit(0);
    }

    private static void bench(Path dir, String name, int size, long time, boolean print) {
        try (ChronicleQueue queue = ChronicleQueue.single(dir.toString())) {
            Bytes<?> body = Bytes.wrapForRead("x".repeat(size).getBytes());
            long sent = 0;
            long start = System.nanoTime();
            try (ExcerptAppender appender = queue.createAppender()) {
                // Ends as FerroMQ's do: 1 KiB goes on to 4 GiB, as long runs are the disk's.
                long most = print ? 4L << 30 : 1L << 30;
                long limit = print && size == 1024 && time >= 1_000_000_000L ? time * 20 : time;
                while (System.nanoTime() - start < limit && sent * size < most) {
                    // As theirs, most without asking for the time, which takes as long as a part of an append.
                    for (int n = 0; n < 64; n++) {
                        body.readPositionRemaining(0, size);
                        appender.writeBytes(body);
                    }
                    sent += 64;
                }
            }
            long took = System.nanoTime() - start;
            long read = 0;
            long bytes = 0;
            start = System.nanoTime();
            Bytes<?> into = Bytes.allocateElasticOnHeap(size);
            try (ExcerptTailer tailer = queue.createTailer()) {
                while (tailer.readBytes(into)) {
                    bytes += into.readRemaining();
                    into.clear();
                    read++;
                }
            }
            long tookReading = System.nanoTime() - start;
            if (read != sent || bytes != sent * size) {
                throw new IllegalStateException("read " + read + " of " + sent + " messages, " + bytes + " bytes");
            }
            if (print) {
                String megabytes = "\t" + Math.round(bytes / 1e6) + " MB";
                System.out.println("put-" + name + "-1\t" + Math.round(sent * 1e9 / took) + megabytes);
                System.out.println("get-" + name + "\t" + Math.round(read * 1e9 / tookReading) + megabytes);
            }
        }
    }
}
