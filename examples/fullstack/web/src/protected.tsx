import { useLogto } from '@logto/react';
import { useId } from 'react';
import { Heading } from './heading';
import { SignInButton } from './sign-in-button';
import { settings } from './settings';
import { useApi } from './use-api';

export function Protected() {
  const { isAuthenticated } = useLogto();
  if (!isAuthenticated) {
    return (
      <>
        <Heading title="Sign in to see this page" />
        <p>It calls the API in your name.</p>
        <SignInButton />
      </>
    );
  }
  return (
    <>
      <Heading title="Protected page" />
      <p>Each button asks the SDK for an access token and sends it to the API.</p>
      <Endpoint path="/api/hello" title="Hello" button="Say hello">
        For everybody who is signed in.
      </Endpoint>
      <Endpoint path="/api/reports" title="Reports" button="Read the reports">
        For users with the permission <code>read:reports</code>.
      </Endpoint>
      {settings.local && (
        <p>
          To see what a page does when something goes wrong, suspend yourself, rotate keys or make Logto hang on the{' '}
          <a href={`${settings.endpoint}/control`} target="_blank">
            control page
          </a>{' '}
          (a new tab), then press a button here.
        </p>
      )}
    </>
  );
}

function Endpoint({ path, title, button, children }: { path: string; title: string; button: string; children: React.ReactNode }) {
  const [answer, call] = useApi(path);
  const heading = useId();
  const loading = answer.state === 'loading' || answer.state === 'waiting';
  return (
    <section className="card" aria-labelledby={heading}>
      <h2 id={heading}>{title}</h2>
      <p>
        <code>GET {path}</code> {children}
      </p>
      <div className="row">
        {/* Not disabled: that would take the focus away from the keyboard. */}
        <button className="primary" aria-disabled={loading} onClick={() => void call()}>
          {button}
        </button>
      </div>
      <div role="status" aria-busy={loading}>
        {answer.state === 'loading' && <p className="quiet spinner">Asking the API…</p>}
        {answer.state === 'waiting' && (
          <p className="quiet spinner">
            The API can’t check tokens now (503). You are still signed in; it is asked again in {answer.seconds} s.
          </p>
        )}
        {answer.state === 'good' && (
          <p className="answer good">
            <strong>{answer.message}</strong>
          </p>
        )}
        {answer.state === 'bad' && (
          <div className="answer bad">
            <p>
              <strong>{answer.title}</strong> {answer.text}
            </p>
          </div>
        )}
      </div>
      {answer.state === 'bad' && answer.signInAgain && <SignInButton label="Sign in again" />}
    </section>
  );
}
