package interop;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.Map;
import org.apache.rocketmq.broker.filter.MessageEvaluationContext;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.filter.expression.BooleanExpression;
import org.apache.rocketmq.filter.expression.MQFilterException;
import org.apache.rocketmq.filter.parser.SelectorParser;

/**
 * Says what Apache's filter makes of expressions. Each line of the input is an expression and an encoded property string,
 * both in hexadecimal with a comma between; each line of the output is `compile`, `eval`, or the result.
 */
final class SqlOracle {
    private SqlOracle() {
    }

    public static void main(String[] args) throws Exception {
        var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        var out = new PrintStream(System.out, false, StandardCharsets.US_ASCII);
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] parts = line.split(",", -1);
            out.println(result(text(parts[0]), MessageDecoder.string2messageProperties(text(parts[1]))));
        }
        out.flush();
    }

    private static String text(String hex) {
        return new String(HexFormat.of().parseHex(hex), StandardCharsets.UTF_8);
    }

    private static String result(String text, Map<String, String> properties) {
        BooleanExpression expression;
        try {
            expression = SelectorParser.parse(text);
        } catch (MQFilterException e) {
            return "compile";
        }
        try {
            return String.valueOf(expression.evaluate(new MessageEvaluationContext(properties)));
        } catch (Exception e) {
            return "eval";
        }
    }
}
