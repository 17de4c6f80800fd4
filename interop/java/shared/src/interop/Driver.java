package interop;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/**
 * Runs cases named on standard input, several at a time, and answers with one line each:
 * {@code run ID CASE key=value...} gives {@code PASS ID ms} or {@code FAIL ID why}; {@code quit} or the end of input ends it.
 * Everything else that the clients print goes to standard error.
 */
public final class Driver {
    /** A test program. */
    public interface Case {
        void run(Env env) throws Exception;
    }

    private static final Map<String, Case> CASES = new TreeMap<>();
    private static PrintStream answers;

    private Driver() {
    }

    public static void add(String name, Case body) {
        if (CASES.put(name, body) != null) {
            throw new IllegalStateException("two cases named " + name);
        }
    }

    public static void main(String[] args) throws Exception {
        answers = new PrintStream(new java.io.FileOutputStream(java.io.FileDescriptor.out), true, "UTF-8");
        System.setOut(System.err);
        SendCases.register();
        PushCases.register();
        RetryCases.register();
        PullCases.register();
        QueryCases.register();
        StepCases.register();
        SpecialCases.register();
        PendingCases.register();
        Shim.register();
        ExecutorService pool = Executors.newFixedThreadPool(Integer.getInteger("interop.parallel", 12));
        say("HELLO " + CASES.size());
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null && !line.equals("quit"); line = in.readLine()) {
            String[] words = line.trim().split(" +");
            if (words.length < 3 || !words[0].equals("run")) {
                say("FAIL " + (words.length > 1 ? words[1] : "?") + " not a command: " + line);
                continue;
            }
            Map<String, String> params = new HashMap<>();
            for (int i = 3; i < words.length; i++) {
                int eq = words[i].indexOf('=');
                params.put(words[i].substring(0, eq), words[i].substring(eq + 1));
            }
            pool.submit(() -> runOne(words[1], words[2], params));
        }
        // Clients leave threads behind that are no daemons; nothing is worth waiting for any more.
        Runtime.getRuntime().halt(0);
    }

    private static synchronized void say(String line) {
        answers.println(line);
    }

    private static void runOne(String id, String name, Map<String, String> params) {
        Case body = CASES.get(name);
        if (body == null) {
            say("FAIL " + id + " no case " + name);
            return;
        }
        long start = System.nanoTime();
        Env env = new Env(params);
        String failure = null;
        try {
            body.run(env);
        } catch (Throwable t) {
            failure = explain(t);
        }
        try {
            env.close();
        } catch (Throwable t) {
            failure = failure == null ? "closing: " + explain(t) : failure;
        }
        say(failure == null ? "PASS " + id + " " + (System.nanoTime() - start) / 1_000_000 : "FAIL " + id + " " + failure);
    }

    private static String explain(Throwable t) {
        if (t instanceof Check.Failure) {
            return t.getMessage().replace('\n', ' ');
        }
        StringWriter trace = new StringWriter();
        t.printStackTrace(new PrintWriter(trace));
        String all = trace.toString().replace("\n", " | ").replace("\t", "");
        return all.length() > 1500 ? all.substring(0, 1500) : all;
    }
}
