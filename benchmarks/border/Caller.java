// A service in Java that needs a prediction made in Python, in each of the ways it can ask for one.
//
//   java Caller.java PORT process COMMAND...       a process for each request, JSON over its input and output
//   java Caller.java PORT http URL [AUTHORIZATION] a server in Python by HTTP, connections kept
//   java Caller.java PORT socket HOST PORT         a process of Python by a raw socket, connections kept
//
// It answers POST / with what Python answered, and GET / with 200. As many threads serve as there are callers.

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Executors;

public class Caller {
    interface Way {
        byte[] ask(byte[] body) throws Exception;
    }

    public static void main(String[] args) throws IOException {
        // without it, the JDK's server waits 40 ms for acknowledgements of its own headers
        System.setProperty("sun.net.httpserver.nodelay", "true");
        System.setProperty("sun.net.httpserver.maxIdleConnections", "1000");
        Way way = way(args[1], Arrays.asList(args).subList(2, args.length));
        InetSocketAddress address = new InetSocketAddress(InetAddress.getLoopbackAddress(), Integer.parseInt(args[0]));
        HttpServer server = HttpServer.create(address, 1024);
        server.setExecutor(Executors.newFixedThreadPool(32));
        server.createContext("/", exchange -> answer(exchange, way));
        server.start();
    }

    static Way way(String kind, List<String> options) {
        switch (kind) {
            case "process":
                return body -> askProcess(options, body);
            case "http":
                return overHttp(options);
            case "socket":
                return overSocket(options.get(0), Integer.parseInt(options.get(1)));
            default:
                throw new IllegalArgumentException(kind);
        }
    }

    static void answer(HttpExchange exchange, Way way) throws IOException {
        byte[] body = exchange.getRequestBody().readAllBytes();
        byte[] answer = new byte[0];
        int status = 200;
        if (exchange.getRequestMethod().equals("POST")) {
            try {
                answer = way.ask(body);
            } catch (Exception error) {
                status = 500;
                answer = String.valueOf(error).getBytes();
            }
        }
        exchange.getResponseHeaders().set("Content-Type", "application/json");
        exchange.sendResponseHeaders(status, answer.length == 0 ? -1 : answer.length);
        if (answer.length > 0) {
            exchange.getResponseBody().write(answer);
        }
        exchange.close();
    }

    static byte[] askProcess(List<String> command, byte[] body) throws Exception {
        Process process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD).start();
        try (OutputStream input = process.getOutputStream()) {
            input.write(body);
        }
        byte[] answer = process.getInputStream().readAllBytes();
        if (process.waitFor() != 0) {
            throw new IOException("Python ended with " + process.exitValue());
        }
        return answer;
    }

    static Way overHttp(List<String> options) {
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        HttpRequest.Builder base =
            HttpRequest.newBuilder(URI.create(options.get(0))).header("Content-Type", "application/json");
        if (options.size() > 1) {
            base.header("Authorization", options.get(1));
        }
        return body -> {
            HttpRequest request = base.copy().POST(HttpRequest.BodyPublishers.ofByteArray(body)).build();
            HttpResponse<byte[]> answer = client.send(request, HttpResponse.BodyHandlers.ofByteArray());
            if (answer.statusCode() != 200) {
                throw new IOException("Python answered " + answer.statusCode());
            }
            return answer.body();
        };
    }

    static Way overSocket(String host, int port) {
        ConcurrentLinkedQueue<Socket> idle = new ConcurrentLinkedQueue<>();
        return body -> {
            Socket socket = idle.poll();
            if (socket == null) {
                socket = new Socket(host, port);
                socket.setTcpNoDelay(true);
            }
            byte[] line = Arrays.copyOf(body, body.length + 1);
            line[body.length] = '\n';
            socket.getOutputStream().write(line);
            byte[] answer = readLine(socket.getInputStream());
            idle.add(socket);
            return answer;
        };
    }

    static byte[] readLine(InputStream from) throws IOException {
        byte[] some = new byte[8192];
        ByteArrayOutputStream line = new ByteArrayOutputStream();
        while (true) {
            int read = from.read(some);
            if (read < 0) {
                throw new IOException("Python closed the connection");
            }
            line.write(some, 0, read);
            if (some[read - 1] == '\n') {
                return line.toByteArray();
            }
        }
    }
}
