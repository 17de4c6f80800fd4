package interop;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/**
 * A process of producers and consumers that does what it is told on standard input, one line a request, several at a
 * time: {@code ID VERB key=value...} is answered by {@code ID ok key=value...} or {@code ID error why}; what happens by
 * itself is told by lines that begin with {@code *}. Values are percent-encoded, bodies in hex. The Rust twin of this
 * program is {@code ferromq-member}.
 */
public final class Member {
    /** A request's fields. */
    static final class Args {
        private final Map<String, String> fields;

        Args(Map<String, String> fields) {
            this.fields = fields;
        }

        String get(String key) {
            String value = fields.get(key);
            if (value == null) {
                throw new IllegalArgumentException("no " + key + " in the request");
            }
            return value;
        }

        String get(String key, String otherwise) {
            return fields.getOrDefault(key, otherwise);
        }

        int number(String key, int otherwise) {
            return fields.containsKey(key) ? Integer.parseInt(fields.get(key)) : otherwise;
        }

        boolean has(String key) {
            return fields.containsKey(key);
        }

        Map<String, String> all() {
            return fields;
        }
    }

    /** What a request does; its answer's fields. */
    interface Verb {
        Map<String, Object> run(Args args) throws Exception;
    }

    static final Map<String, AutoCloseable> OPEN = new ConcurrentHashMap<>();
    static final Map<String, Verb> VERBS = new ConcurrentHashMap<>();
    private static PrintStream answers;

    private Member() {
    }

    public static void main(String[] args) throws Exception {
        answers = new PrintStream(new java.io.FileOutputStream(java.io.FileDescriptor.out), true, "UTF-8");
        System.setOut(System.err);
        MemberProducers.register();
        MemberConsumers.register();
        Shim.registerVerbs();
        VERBS.put("stop", a -> {
            OPEN.remove(a.get("name")).close();
            return Map.of();
        });
        ExecutorService pool = Executors.newCachedThreadPool();
        event("hello", Map.of());
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null && !line.equals("quit"); line = in.readLine()) {
            String[] words = line.trim().split(" ");
            Map<String, String> fields = new HashMap<>();
            for (int i = 2; i < words.length; i++) {
                int eq = words[i].indexOf('=');
                fields.put(words[i].substring(0, eq), URLDecoder.decode(words[i].substring(eq + 1), StandardCharsets.UTF_8));
            }
            pool.submit(() -> answer(words[0], words[1], new Args(fields)));
        }
        Runtime.getRuntime().halt(0);
    }

    private static void answer(String id, String verb, Args args) {
        String line;
        try {
            Verb body = VERBS.get(verb);
            line = body == null ? " error " + encode("no verb " + verb) : " ok" + fields(body.run(args));
        } catch (Throwable t) {
            StringBuilder why = new StringBuilder();
            for (Throwable cause = t; cause != null; cause = cause.getCause()) {
                why.append(why.length() == 0 ? "" : " because of ").append(cause);
            }
            line = " error " + encode(why);
        }
        say(id + line);
    }

    /** Tells of something that happened by itself. */
    static void event(String kind, Map<String, Object> fields) {
        say("* " + kind + fields(fields));
    }

    private static synchronized void say(String line) {
        answers.println(line);
    }

    private static String encode(Object value) {
        return URLEncoder.encode(String.valueOf(value), StandardCharsets.UTF_8);
    }

    private static String fields(Map<String, Object> fields) {
        StringBuilder all = new StringBuilder();
        fields.forEach((key, value) -> {
            if (value != null) {
                all.append(' ').append(key).append('=').append(encode(value));
            }
        });
        return all.toString();
    }

    static byte[] unhex(String text) {
        byte[] bytes = new byte[text.length() / 2];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) Integer.parseInt(text.substring(2 * i, 2 * i + 2), 16);
        }
        return bytes;
    }

    static String hex(byte[] bytes) {
        StringBuilder text = new StringBuilder(2 * bytes.length);
        for (byte b : bytes) {
            text.append(Character.forDigit(b >> 4 & 15, 16)).append(Character.forDigit(b & 15, 16));
        }
        return text.toString();
    }

    /** An answer's fields, in order. */
    static Map<String, Object> map(Object... pairs) {
        Map<String, Object> map = new LinkedHashMap<>();
        for (int i = 0; i < pairs.length; i += 2) {
            map.put((String) pairs[i], pairs[i + 1]);
        }
        return map;
    }
}
