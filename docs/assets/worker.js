// Pages that are opened as files may start no workers, in which the search runs. Here an invisible frame stands in for one:
// it has a global scope of its own, `importScripts`, and messages both ways.
class IFrameWorker extends EventTarget {
  constructor(url) {
    super()
    const own = new URL(url, location)
    this.onmessage = this.onerror = null
    const frame = document.createElement("iframe")
    frame.hidden = true
    document.body.append(frame)
    this.frame = frame
    const scope = frame.contentWindow
    const told = (type, event) => {
      this.dispatchEvent(event)
      if (this[`on${type}`]) this[`on${type}`](event)
    }
    scope.postMessage = data => told("message", new MessageEvent("message", { data }))
    scope.onerror = (message, filename, lineno) => told("error", new ErrorEvent("error", { message, filename, lineno }))
    const load = source => new Promise((done, failed) => {
      const script = scope.document.createElement("script")
      script.onload = done
      script.onerror = () => failed(new Error(`${source} cannot be loaded`))
      script.src = new URL(source, own)
      scope.document.body.append(script)
    })
    scope.importScripts = (...sources) =>
      sources.reduce((before, source) => before.then(() => load(source)), Promise.resolve())
    this.ready = load(own)
  }

  postMessage(data) {
    this.ready.then(() => this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data })))
  }

  terminate() {
    this.frame.remove()
  }
}
if (location.protocol === "file:") window.IFrameWorker = window.Worker = IFrameWorker
